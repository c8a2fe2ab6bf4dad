#include "tracking/run_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace millrace::tracking {
namespace {

using testing::ElementsAre;

// Writes down what it is told, in a list that may be another sink's too.
class RecordingSink final : public Sink {
 public:
  RecordingSink(std::string name, std::vector<std::string>& events)
      : name_(std::move(name)), events_(events) {}
  void OnScalars(const Scalars& scalars) override {
    events_.push_back(fmt::format("{}: {} at {}", name_, scalars.group, scalars.step));
  }
  void OnProgress(const Progress& progress) override {
    events_.push_back(fmt::format("{}: {} {}", name_, progress.label, progress.done));
  }
  void OnText(const std::string& line) override {
    events_.push_back(fmt::format("{}: \"{}\"", name_, line));
  }
  void OnParameters(const Parameters& parameters) override {
    events_.push_back(fmt::format("{}: {} parameters", name_, parameters.values.size()));
  }
  void OnPicture(const Picture& picture) override {
    events_.push_back(
        fmt::format("{}: picture {} {}x{}", name_, picture.name, picture.width, picture.height));
  }
  void OnNote(const Note& note) override {
    events_.push_back(fmt::format("{}: note {} {}", name_, note.name, note.markdown));
  }
  void OnHistogram(const Histogram& histogram) override {
    events_.push_back(fmt::format("{}: histogram {}", name_, histogram.name));
  }
  void OnPrCurve(const PrCurve& curve) override {
    events_.push_back(fmt::format("{}: curve {}", name_, curve.name));
  }
  void OnArtifact(const Artifact& artifact) override {
    events_.push_back(fmt::format("{}: artifact {}", name_, artifact.name));
  }
  void OnStatus(const Status& status) override {
    events_.push_back(fmt::format("{}: status {}", name_, static_cast<int>(status.state)));
  }
  void Finish() override { events_.push_back(fmt::format("{}: end", name_)); }

 private:
  const std::string name_;
  std::vector<std::string>& events_;
};

TEST(RunLog, EverySinkGetsEveryEventInOrder) {
  std::vector<std::string> events;
  RunLog log;
  log.Add(std::make_unique<RecordingSink>("a", events));
  log.Add(std::make_unique<RecordingSink>("b", events));
  log.Text("step {} of {}", 1, 2);
  log.Emit(Scalars{.group = "train", .step = 7, .values = {}, .texts = {}});
  log.Emit(Progress{.label = "convert", .done = 3, .unit = "", .detail = ""});
  log.Emit(Parameters{.values = {{"optimizer.lr", 0.1}}});
  log.Emit(Picture{.name = "grid", .width = 1, .height = 1, .png = "png"});
  log.Emit(Note{.name = "notes", .step = 1, .markdown = "*a*"});
  log.Emit(Histogram{.name = "weights", .step = 1, .limits = {1}, .counts = {2}});
  PrCurve curve;
  curve.name = "cats";
  log.Emit(curve);
  log.Emit(Artifact{.name = "config.toml", .path = "config.toml"});
  log.Emit(Status{.state = Status::State::kFinished, .step = 9, .reason = ""});
  log.Flush();
  std::vector<std::string> expected;
  for (const char* event :
       {"\"step 1 of 2\"", "train at 7", "convert 3", "1 parameters", "picture grid 1x1",
        "note notes *a*", "histogram weights", "curve cats", "artifact config.toml", "status 1"}) {
    expected.push_back(std::string("a: ") + event);
    expected.push_back(std::string("b: ") + event);
  }
  EXPECT_EQ(events, expected);
}

TEST(RunLog, SinkTakesPartFromWhenItIsAdded) {
  std::vector<std::string> events;
  RunLog log;
  log.Text("nobody listens");
  log.Add(std::make_unique<RecordingSink>("a", events));
  log.Text("first");
  log.Add(std::make_unique<RecordingSink>("b", events));
  log.Text("second");
  log.Flush();
  EXPECT_THAT(events, ElementsAre("a: \"first\"", "a: \"second\"", "b: \"second\""));
}

TEST(RunLog, TextsAreNotFormattedTwice) {
  std::vector<std::string> events;
  RunLog log;
  log.Add(std::make_unique<RecordingSink>("a", events));
  log.Text("{}", "{} 100%");
  log.Flush();
  EXPECT_THAT(events, ElementsAre("a: \"{} 100%\""));
}

TEST(RunLog, WhatIsQueuedIsHandedOnAtTheEnd) {
  std::vector<std::string> events;
  {
    RunLog log;
    log.Add(std::make_unique<RecordingSink>("a", events));
    for (int i = 0; i < 1000; ++i) log.Text("{}", i);
  }
  ASSERT_EQ(events.size(), 1000u);
  for (std::size_t i = 0; i < 1000; ++i) ASSERT_EQ(events[i], fmt::format("a: \"{}\"", i));
}

TEST(RunLog, EventsComeToSinksWithoutAFlush) {
  class Waiting final : public Sink {
   public:
    explicit Waiting(std::promise<std::string>& told) : told_(told) {}
    void OnText(const std::string& line) override { told_.set_value(line); }

   private:
    std::promise<std::string>& told_;
  };
  std::promise<std::string> told;
  RunLog log;
  log.Add(std::make_unique<Waiting>(told));
  log.Text("hello");
  EXPECT_EQ(told.get_future().get(), "hello");
}

// Holds the worker at its first text until the test lets it go.
class Gate final : public Sink {
 public:
  Gate(std::promise<void>& reached, std::shared_future<void> open)
      : reached_(reached), open_(std::move(open)) {}
  void OnText(const std::string&) override {
    if (passed_) return;
    passed_ = true;
    reached_.set_value();
    open_.wait();
  }

 private:
  std::promise<void>& reached_;
  const std::shared_future<void> open_;
  bool passed_ = false;
};

// A log whose worker stands still, and then goes on.
class StoppedRunLogTest : public testing::Test {
 protected:
  StoppedRunLogTest() {
    log_.Add(std::make_unique<Gate>(reached_, open_.get_future().share()));
    log_.Add(std::make_unique<RecordingSink>("a", events_));
    log_.Text("stop");
    reached_.get_future().wait();
  }
  void GoOn() {
    open_.set_value();
    log_.Flush();
  }

  std::promise<void> reached_;
  std::promise<void> open_;
  std::vector<std::string> events_;
  RunLog log_;
};

TEST_F(StoppedRunLogTest, EmittersDoNotWaitAndNothingButOvertakenProgressIsLost) {
  std::vector<std::string> expected = {"a: \"stop\""};
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    log_.Emit(Scalars{.group = "train", .step = i, .values = {}, .texts = {}});
    expected.push_back(fmt::format("a: train at {}", i));
  }
  for (std::uint64_t i = 0; i <= 100; ++i) {
    log_.Emit(Progress{.label = "one", .done = i, .unit = "", .detail = ""});
  }
  log_.Emit(Progress{.label = "two", .done = 1, .unit = "", .detail = ""});
  GoOn();
  // The first one of a piece of work stays, for it begins its clock.
  for (const char* event : {"a: one 0", "a: one 100", "a: two 1"}) expected.push_back(event);
  EXPECT_EQ(events_, expected);
}

TEST_F(StoppedRunLogTest, PicturesBeyondTheBoundAreLeftOutAndTold) {
  const auto emit = [&](std::uint32_t height) {
    log_.Emit(Picture{.name = "p",
                      .width = 1024,
                      .height = height,
                      .png = std::string(std::size_t{3} * 1024 * height, 'x')});
  };
  for (int i = 0; i < 20; ++i) emit(1365);  // 4 MiB less 1 KiB each, 64 MiB in all
  log_.Emit(Scalars{.group = "train", .step = 1, .values = {}, .texts = {}});
  emit(1);  // finds room
  GoOn();
  emit(1);
  log_.Finish();
  std::vector<std::string> expected = {"a: \"stop\""};
  for (int i = 0; i < 16; ++i) expected.push_back("a: picture p 1024x1365");
  expected.push_back(
      "a: \"pictures come faster than they can be written: some are left out of the run's log\"");
  for (const char* event : {"a: train at 1", "a: picture p 1024x1", "a: picture p 1024x1", "a: end",
                            "a: \"4 pictures were left out of the run's log\""}) {
    expected.push_back(event);
  }
  EXPECT_EQ(events_, expected);
}

TEST(RunLog, SinksSeeOneEventAtATimeAndOfEachThreadInItsOrder) {
  class Witness final : public Sink {
   public:
    Witness(std::vector<std::vector<std::uint64_t>>& steps, std::atomic<int>& overlaps)
        : steps_(steps), overlaps_(overlaps) {}
    void OnScalars(const Scalars& scalars) override {
      if (inside_.exchange(true)) ++overlaps_;
      steps_[scalars.epoch].push_back(scalars.step);
      std::this_thread::yield();
      inside_ = false;
    }

   private:
    std::vector<std::vector<std::uint64_t>>& steps_;  // by epoch, which is the thread here
    std::atomic<int>& overlaps_;
    std::atomic<bool> inside_{false};
  };
  std::vector<std::vector<std::uint64_t>> steps(4);
  std::atomic<int> overlaps{0};
  {
    RunLog log;
    log.Add(std::make_unique<Witness>(steps, overlaps));
    std::vector<std::thread> threads;
    for (std::uint32_t t = 0; t < 4; ++t) {
      threads.emplace_back([&log, t] {
        for (std::uint64_t step = 0; step < 500; ++step) {
          log.Emit(Scalars{.group = "train", .step = step, .epoch = t, .values = {}, .texts = {}});
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(overlaps, 0);
  for (const auto& of_thread : steps) {
    ASSERT_EQ(of_thread.size(), 500u);
    for (std::uint64_t step = 0; step < 500; ++step) ASSERT_EQ(of_thread[step], step);
  }
}

class Broken final : public Sink {
 public:
  void OnText(const std::string& line) override {
    ++calls;
    if (line == "bad") throw std::runtime_error("disk full");
  }
  void Finish() override {
    if (fails_at_end) throw std::runtime_error("no end");
  }

  static inline int calls = 0;
  bool fails_at_end = false;
};

std::string WhatOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(RunLog, ErrorOfASinkReachesEmittersAndOtherSinksGetTheirEvents) {
  Broken::calls = 0;
  std::vector<std::string> events;
  RunLog log;
  log.Add(std::make_unique<Broken>());
  log.Add(std::make_unique<RecordingSink>("a", events));
  log.Text("good");
  log.Text("bad");
  log.Text("ugly");
  EXPECT_EQ(WhatOf([&] { log.Flush(); }), "disk full");
  // Whoever swallows it does not hide it from others.
  EXPECT_EQ(WhatOf([&] { log.Text("more"); }), "disk full");
  EXPECT_EQ(WhatOf([&] { log.Flush(); }), "disk full");
  EXPECT_EQ(WhatOf([&] { log.Finish(); }), "disk full");
  EXPECT_THAT(events, ElementsAre("a: \"good\"", "a: \"bad\"", "a: \"ugly\""));
  EXPECT_EQ(Broken::calls, 2) << "a sink that failed gets no more events";
}

TEST(RunLog, ErrorAtTheEndReachesWhoeverEndsTheRun) {
  std::vector<std::string> events;
  RunLog log;
  auto broken = std::make_unique<Broken>();
  broken->fails_at_end = true;
  log.Add(std::move(broken));
  log.Add(std::make_unique<RecordingSink>("a", events));
  EXPECT_EQ(WhatOf([&] { log.Finish(); }), "no end");
  EXPECT_THAT(events, ElementsAre("a: end"));
}

TEST(RunLog, LinesThatASinkSaysAtItsEndComeThrough) {
  class Talking final : public Sink {
   public:
    explicit Talking(RunLog& log) : log_(log) {}
    void Finish() override {
      log_.Text("waiting");
      log_.Flush();
      log_.Text("done");
    }

   private:
    RunLog& log_;
  };
  std::vector<std::string> events;
  RunLog log;
  log.Add(std::make_unique<Talking>(log));
  log.Add(std::make_unique<RecordingSink>("a", events));
  log.Finish();
  EXPECT_THAT(events, ElementsAre("a: \"waiting\"", "a: end", "a: \"done\""));
}

}  // namespace
}  // namespace millrace::tracking
