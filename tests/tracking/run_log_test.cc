#include "tracking/run_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
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
  EXPECT_THAT(events, ElementsAre("a: \"step 1 of 2\"", "b: \"step 1 of 2\"", "a: train at 7",
                                  "b: train at 7", "a: convert 3", "b: convert 3"));
}

TEST(RunLog, SinkTakesPartFromWhenItIsAdded) {
  std::vector<std::string> events;
  RunLog log;
  log.Text("nobody listens");
  log.Add(std::make_unique<RecordingSink>("a", events));
  log.Text("first");
  log.Add(std::make_unique<RecordingSink>("b", events));
  log.Text("second");
  EXPECT_THAT(events, ElementsAre("a: \"first\"", "a: \"second\"", "b: \"second\""));
}

TEST(RunLog, TextsAreNotFormattedTwice) {
  std::vector<std::string> events;
  RunLog log;
  log.Add(std::make_unique<RecordingSink>("a", events));
  log.Text("{}", "{} 100%");
  EXPECT_THAT(events, ElementsAre("a: \"{} 100%\""));
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

TEST(RunLog, ErrorOfASinkReachesTheEmitterAndTheLogGoesOn) {
  class Broken final : public Sink {
   public:
    void OnText(const std::string& line) override {
      if (line == "bad") throw std::runtime_error("disk full");
    }
  };
  std::vector<std::string> events;
  RunLog log;
  log.Add(std::make_unique<Broken>());
  log.Add(std::make_unique<RecordingSink>("a", events));
  EXPECT_THROW(log.Text("bad"), std::runtime_error);
  log.Text("good");
  EXPECT_THAT(events, ElementsAre("a: \"good\""));
}

}  // namespace
}  // namespace millrace::tracking
