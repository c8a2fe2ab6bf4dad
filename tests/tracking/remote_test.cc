#include "tracking/remote.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/format.h"
#include "tests/support/temporary_folder.h"
#include "tracking/append_file.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

Scalars Step(std::uint64_t step) {
  return {.group = "train",
          .step = step,
          .epoch = 1,
          .values = {{"loss", 1.0 / static_cast<double>(step)}},
          .texts = {}};
}

// What a test's server does with a batch: by turns, then the last one for ever.
using Answer = std::function<Delivery(std::span<const RemoteEvent>)>;

Answer Deliver() {
  return [](auto) { return Delivery{}; };
}
Answer Later(const std::string& reason) {
  return [reason](auto) {
    return Delivery{.outcome = Delivery::Outcome::kTryLater, .reason = reason};
  };
}

// A server in memory that outlives its sinks.
struct Server {
  std::mutex mutex;
  std::deque<Answer> answers{Deliver()};
  std::vector<RemoteEvent> taken;
  std::vector<std::size_t> batches;  // sizes of what was offered
  bool takes_histograms = true;
  std::atomic<int> kept_alive{0};
  std::atomic<bool> hears = true;  // or it throws

  std::vector<std::uint64_t> Steps() {
    const std::lock_guard lock(mutex);
    std::vector<std::uint64_t> steps;
    for (const RemoteEvent& event : taken) {
      if (const auto* scalars = std::get_if<Scalars>(&event.what)) steps.push_back(scalars->step);
    }
    return steps;
  }
};

class FakeSink final : public RemoteSink {
 public:
  explicit FakeSink(Server& server) : server_(server) {}
  std::string name() const override { return "the server"; }
  bool Takes(const RemoteEvent::What& what) const override {
    return server_.takes_histograms || !std::holds_alternative<Histogram>(what);
  }
  Delivery Deliver(std::span<const RemoteEvent> events) override {
    Answer answer;
    {
      const std::lock_guard lock(server_.mutex);
      server_.batches.push_back(events.size());
      answer = server_.answers.front();
      if (server_.answers.size() > 1) server_.answers.pop_front();
    }
    const Delivery delivery = answer(events);
    if (delivery.outcome == Delivery::Outcome::kDelivered) {
      const std::lock_guard lock(server_.mutex);
      server_.taken.insert(server_.taken.end(), events.begin(), events.end());
    }
    return delivery;
  }
  void KeepAlive() override {
    ++server_.kept_alive;
    if (!server_.hears) throw std::runtime_error("away");
  }

 private:
  Server& server_;
};

class RemoteTest : public testing::Test {
 protected:
  RemoteTest() {
    options_.gather = 1ms;
    options_.first_pause = 1ms;
    options_.longest_pause = 4ms;
    options_.how_to_deliver = "millrace sync runs/a";
  }
  std::unique_ptr<Remote> Open() {
    return std::make_unique<Remote>(std::make_unique<FakeSink>(server_), folder_, options_,
                                    [this](const std::string& line) {
                                      const std::lock_guard lock(mutex_);
                                      told_.push_back(line);
                                    });
  }
  std::vector<std::string> Told() {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  void Answers(std::deque<Answer> answers) {
    const std::lock_guard lock(server_.mutex);
    server_.answers = std::move(answers);
  }
  static std::vector<std::uint64_t> Count(std::uint64_t first, std::uint64_t last) {
    std::vector<std::uint64_t> steps;
    for (std::uint64_t step = first; step <= last; ++step) steps.push_back(step);
    return steps;
  }

  const test::TemporaryFolder root_;
  const fs::path folder_ = root_ / "journal";
  Remote::Options options_;
  Server server_;
  std::mutex mutex_;
  std::vector<std::string> told_;
};

TEST_F(RemoteTest, EventsArriveInOrderInBatches) {
  options_.batch_events = 10;
  const auto remote = Open();
  for (std::uint64_t step = 1; step <= 100; ++step) remote->OnScalars(Step(step));
  remote->Finish();
  EXPECT_EQ(server_.Steps(), Count(1, 100));
  EXPECT_THAT(server_.batches, testing::Each(testing::Le(10u)));
  EXPECT_THAT(Told(), IsEmpty());
  EXPECT_EQ(remote->waiting(), 0u);
}

TEST_F(RemoteTest, KindsThatTheServerHasNoPlaceForDoNotComeIntoTheJournal) {
  server_.takes_histograms = false;
  options_.waits.finish = 1ms;
  Answers({Later("away")});
  const auto remote = Open();
  remote->OnHistogram({.name = "h", .step = 1, .limits = {0, 2}, .counts = {1, 5}});
  EXPECT_EQ(remote->waiting(), 0u);
  remote->OnNote({.name = "n", .step = 1, .markdown = "text"});
  EXPECT_EQ(remote->waiting(), 1u);
}

TEST_F(RemoteTest, EveryKindOfEventArrivesAsItWas) {
  const auto remote = Open();
  Scalars scalars = Step(3);
  scalars.kind = Scalars::Kind::kTiming;
  scalars.values.emplace_back("nan", std::numeric_limits<double>::quiet_NaN());
  scalars.texts.emplace_back("digest", "00ff");
  const auto before = std::chrono::system_clock::now();
  remote->OnScalars(scalars);
  remote->OnText("a path: \xff");
  remote->OnParameters({.values = {{"a", true}, {"b", 0.5}, {"c", std::string("text")}}});
  remote->OnPicture({.name = "p", .step = 4, .width = 2, .height = 1, .png = "bytes\xff"});
  remote->OnNote({.name = "n", .step = 5, .markdown = "*x*"});
  remote->OnHistogram({.name = "h",
                       .step = 6,
                       .min = -1,
                       .max = 2,
                       .sum = 3,
                       .sum_of_squares = 4,
                       .limits = {0, 2},
                       .counts = {1, 5}});
  PrCurve curve;
  curve.name = "c";
  curve.step = 7;
  curve.true_positives = {1, 2};
  curve.false_positives = {3, 4};
  curve.true_negatives = {5, 6};
  curve.false_negatives = {7, 8};
  remote->OnPrCurve(curve);
  remote->OnArtifact({.name = "config.toml", .path = "runs/\xfe"});
  remote->OnStatus({.state = Status::State::kFailed, .step = 8, .reason = "why"});
  remote->Finish();
  ASSERT_EQ(server_.taken.size(), 9u);
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(server_.taken[i].number, i + 1);
  const auto told_at =
      std::chrono::system_clock::time_point(std::chrono::milliseconds(server_.taken[0].time_ms));
  EXPECT_LE(told_at, std::chrono::system_clock::now());
  EXPECT_GE(told_at, before - 1ms);

  const auto& got = std::get<Scalars>(server_.taken[0].what);
  EXPECT_EQ(got.kind, Scalars::Kind::kTiming);
  EXPECT_EQ(got.group, "train");
  EXPECT_EQ(got.step, 3u);
  EXPECT_EQ(got.epoch, 1u);
  ASSERT_EQ(got.values.size(), 2u);
  EXPECT_EQ(got.values[0], scalars.values[0]);
  EXPECT_TRUE(std::isnan(got.values[1].second));
  EXPECT_EQ(got.texts, scalars.texts);
  EXPECT_EQ(std::get<Message>(server_.taken[1].what).line, "a path: \xff");
  EXPECT_THAT(std::get<Parameters>(server_.taken[2].what).values,
              ElementsAre(testing::Pair("a", Parameters::Value(true)),
                          testing::Pair("b", Parameters::Value(0.5)),
                          testing::Pair("c", Parameters::Value(std::string("text")))));
  const auto& picture = std::get<Picture>(server_.taken[3].what);
  EXPECT_EQ(picture.step, 4u);
  EXPECT_EQ(picture.width, 2u);
  EXPECT_EQ(picture.png, "bytes\xff");
  EXPECT_EQ(std::get<Note>(server_.taken[4].what).markdown, "*x*");
  const auto& histogram = std::get<Histogram>(server_.taken[5].what);
  EXPECT_EQ(histogram.sum_of_squares, 4);
  EXPECT_THAT(histogram.limits, ElementsAre(0, 2));
  EXPECT_THAT(histogram.counts, ElementsAre(1, 5));
  const auto& got_curve = std::get<PrCurve>(server_.taken[6].what);
  EXPECT_EQ(got_curve.true_positives, curve.true_positives);
  EXPECT_EQ(got_curve.false_negatives, curve.false_negatives);
  EXPECT_EQ(std::get<Artifact>(server_.taken[7].what).path, "runs/\xfe");
  EXPECT_EQ(std::get<Status>(server_.taken[8].what).state, Status::State::kFailed);
  EXPECT_EQ(std::get<Status>(server_.taken[8].what).reason, "why");
}

TEST_F(RemoteTest, OutageIsToldOnceAndItsEndOnce) {
  std::deque<Answer> answers(5, Later("connection refused"));
  answers.push_back([](auto) -> Delivery { throw std::runtime_error("<html>\n"); });
  answers.push_back(Deliver());
  Answers(std::move(answers));
  const auto remote = Open();
  remote->OnScalars(Step(1));
  while (remote->waiting() > 0) std::this_thread::sleep_for(1ms);
  remote->OnScalars(Step(2));
  remote->Finish();
  EXPECT_EQ(server_.Steps(), Count(1, 2));
  EXPECT_THAT(Told(), ElementsAre("the server cannot be reached (connection refused): the run goes "
                                  "on, and what it tells waits in " +
                                      folder_.string(),
                                  "the server is back; 1 events that waited are being delivered"));
}

TEST_F(RemoteTest, EmittersDoNotWaitForAServerThatHangs) {
  std::promise<void> reached;
  std::promise<void> release;
  Answers({[&](auto) {
             reached.set_value();
             release.get_future().wait();
             return Delivery{};
           },
           Deliver()});
  const auto remote = Open();
  remote->OnScalars(Step(1));
  reached.get_future().wait();
  for (std::uint64_t step = 2; step <= 1000; ++step) remote->OnScalars(Step(step));
  EXPECT_EQ(remote->waiting(), 1000u);
  release.set_value();
  remote->Finish();
  EXPECT_EQ(server_.Steps(), Count(1, 1000));
}

TEST_F(RemoteTest, RestIsKeptAndToldAndDeliveredByTheNextProcess) {
  Answers({Later("no route to host")});
  options_.waits.finish = 20ms;
  {
    const auto remote = Open();
    for (std::uint64_t step = 1; step <= 3; ++step) remote->OnScalars(Step(step));
    remote->Finish();
    EXPECT_EQ(remote->waiting(), 3u);
  }
  ASSERT_EQ(Told().size(), 2u);
  EXPECT_EQ(Told()[1],
            fmt::format("3 events could not be delivered to the server (no route to host) and wait "
                        "in {}; deliver them with: millrace sync runs/a",
                        folder_.string()));
  Answers({Deliver()});
  options_.waits.finish = 30s;
  const auto remote = Open();
  remote->Finish();
  EXPECT_EQ(server_.Steps(), Count(1, 3));
  EXPECT_EQ(Told().size(), 2u);
}

TEST_F(RemoteTest, RunWithNothingToTellSaysThatItIsThere) {
  options_.waits.keep_alive = 1ms;
  server_.hears = false;
  const auto remote = Open();
  while (server_.kept_alive < 3) std::this_thread::sleep_for(1ms);
  remote->OnScalars(Step(1));
  remote->Finish();
  EXPECT_EQ(server_.Steps(), Count(1, 1));
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(RemoteTest, EventThatIsRefusedIsLeftOutAndTheOthersArrive) {
  const Answer refuse_seven = [](std::span<const RemoteEvent> events) {
    for (const RemoteEvent& event : events) {
      const std::uint64_t step = std::get<Scalars>(event.what).step;
      if (step == 7 || step == 50) {
        return Delivery{.outcome = Delivery::Outcome::kRefused, .reason = "400: bad key"};
      }
    }
    return Delivery{};
  };
  Answers({refuse_seven});
  const auto remote = Open();
  for (std::uint64_t step = 1; step <= 100; ++step) remote->OnScalars(Step(step));
  remote->Finish();
  std::vector<std::uint64_t> expected = Count(1, 100);
  std::erase_if(expected, [](std::uint64_t step) { return step == 7 || step == 50; });
  EXPECT_EQ(server_.Steps(), expected);
  EXPECT_THAT(Told(), ElementsAre("the server refuses something that the run tells (400: bad key): "
                                  "it is left out"));
}

TEST_F(RemoteTest, PointsThatAResumedRunTellsAgainAreNotDoubled) {
  for (const bool delivered : {true, false}) {
    SCOPED_TRACE(delivered ? "all was delivered" : "nothing was delivered");
    fs::remove_all(folder_);
    server_.taken.clear();
    Answers({delivered ? Deliver() : Later("away")});
    options_.waits.finish = delivered ? 30s : 1ms;
    const Picture picture{.name = "p", .step = 9, .width = 1, .height = 1, .png = "png"};
    {
      const auto remote = Open();
      for (std::uint64_t step = 1; step <= 10; ++step) remote->OnScalars(Step(step));
      remote->OnPicture(picture);
      remote->Finish();
    }
    Answers({Deliver()});
    options_.waits.finish = 30s;
    const auto remote = Open();
    for (std::uint64_t step = 6; step <= 12; ++step) remote->OnScalars(Step(step));
    remote->OnPicture(picture);
    Scalars other = Step(6);  // never told at this step
    other.values = {{"images_per_s", 5}};
    remote->OnScalars(other);
    remote->Finish();
    std::vector<std::uint64_t> expected = Count(1, 12);
    expected.push_back(6);
    EXPECT_EQ(server_.Steps(), expected);
    EXPECT_EQ(server_.taken.size(), 14u) << "one picture";
  }
}

TEST_F(RemoteTest, FullJournalIsToldOnceAndKeepsRoomForNumbers) {
  Answers({Later("away")});
  options_.journal = {.bytes = 4000, .segment_bytes = 500};
  options_.waits.finish = 1ms;
  const auto remote = Open();
  for (std::uint64_t step = 1; step <= 100; ++step) {
    remote->OnNote({.name = "n", .step = step, .markdown = std::string(100, 'x')});
  }
  const std::uint64_t notes = remote->waiting();
  EXPECT_LT(notes, 20u);
  remote->OnScalars(Step(1));
  EXPECT_EQ(remote->waiting(), notes + 1);
  for (std::uint64_t step = 2; step <= 1000; ++step) remote->OnScalars(Step(step));
  const std::uint64_t kept = remote->waiting();
  remote->Finish();
  std::vector<std::string> told = Told();
  std::erase_if(
      told, [](const std::string& line) { return line.find("cannot be") != std::string::npos; });
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(
      told[0],
      fmt::format("what the server is to be told no longer fits into {} (it is full): some of "
                  "it is left out; the run goes on, and its own files have everything",
                  folder_.string()));
  EXPECT_EQ(told[1], FormatCount(1100 - kept) + " events for the server were left out");
  EXPECT_THAT(told[2], StartsWith(fmt::format("{} events could not be delivered", kept)));
}

TEST_F(RemoteTest, JournalThatCannotBeWrittenDoesNotEndTheRun) {
  const auto remote = Open();
  fs::remove_all(folder_);
  remote->OnScalars(Step(1));
  remote->OnScalars(Step(2));
  EXPECT_THAT(Told().at(0), HasSubstr("no longer fits into"));
  EXPECT_THAT(Told().at(0), HasSubstr("cannot open "));
  options_.waits.finish = 1ms;
}

TEST_F(RemoteTest, PausesGrowAndTheEndOfTheRunDoesNotWaitForThem) {
  options_.first_pause = 1h;
  options_.longest_pause = 1h;
  Answers({Later("away"), Deliver()});
  const auto remote = Open();
  remote->OnScalars(Step(1));
  while (Told().empty()) std::this_thread::sleep_for(1ms);
  // In its pause of half an hour at least; the end of the run breaks it.
  remote->Finish();
  EXPECT_EQ(server_.Steps(), Count(1, 1));
}

// A server on disk that knows an event again by its number, as real ones do by key, step and time.
// It is down, slow, loses its answers and talks nonsense, all at random.
class FileServer final : public RemoteSink {
 public:
  FileServer(const fs::path& path, unsigned seed) : file_(path), random_(seed) {
    std::ifstream received(path);
    for (std::string line; std::getline(received, line);) numbers_.insert(std::stoull(line));
  }
  std::string name() const override { return "the server"; }
  Delivery Deliver(std::span<const RemoteEvent> events) override {
    const Delivery later{.outcome = Delivery::Outcome::kTryLater, .reason = "down"};
    const auto fate = random_() % 8;
    if (fate == 0) return later;
    if (fate == 1) throw std::runtime_error("nonsense");
    if (fate == 2) std::this_thread::sleep_for(std::chrono::microseconds(random_() % 3000));
    // Takes all of them, or some, and then its answer may be lost.
    const std::size_t count = fate == 3 ? random_() % (events.size() + 1) : events.size();
    for (const RemoteEvent& event : events.first(count)) {
      if (!numbers_.insert(event.number).second) continue;
      const auto& scalars = std::get<Scalars>(event.what);
      file_.Append(fmt::format("{} {} {}\n", event.number, scalars.step, scalars.values[0].second));
    }
    return fate <= 4 ? later : Delivery{};
  }

 private:
  AppendFile file_;
  std::set<std::uint64_t> numbers_;
  std::mt19937 random_;
};

// A run of `steps` steps with a checkpoint every 10, until it is done or killed.
void TrainUntilKilled(const fs::path& root, std::uint64_t steps, unsigned seed) {
  Remote::Options options;
  options.gather = 0ms;
  options.first_pause = 1ms;
  options.longest_pause = 2ms;
  options.batch_events = 16;
  options.journal.segment_bytes = 2000;
  Remote remote(std::make_unique<FileServer>(root / "server", seed), root / "journal", options,
                [](const std::string&) {});
  const fs::path checkpoint = root / "checkpoint";
  std::uint64_t step = fs::exists(checkpoint) ? std::stoull(ReadFile(checkpoint)) : 0;
  while (step < steps) {
    remote.OnScalars(Step(++step));
    if (step % 10 == 0) WriteFileAtomically(checkpoint, std::to_string(step));
    std::this_thread::sleep_for(100us);
  }
  remote.Finish();
  WriteFileAtomically(root / "done", "");
}

TEST(RemoteProperty, NothingIsLostOrDoubledWhateverServerAndKillsDo) {
  constexpr std::uint64_t kSteps = 400;
  std::mt19937 random(7);
  int kills = 0;
  for (int round = 0; round < 8; ++round) {
    const test::TemporaryFolder root;
    while (!fs::exists(root / "done")) {
      const auto seed = static_cast<unsigned>(random());
      const auto lifetime = std::chrono::microseconds(random() % 60'000);
      const pid_t child = ::fork();
      ASSERT_GE(child, 0);
      if (child == 0) {
        TrainUntilKilled(root.path(), kSteps, seed);
        ::_exit(0);
      }
      std::this_thread::sleep_for(lifetime);
      ::kill(child, SIGKILL);
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      if (WIFSIGNALED(status)) ++kills;
    }
    std::ifstream received(root / "server");
    std::uint64_t number = 0;
    std::uint64_t step = 0;
    double value = 0;
    for (std::uint64_t expected = 1; expected <= kSteps; ++expected) {
      ASSERT_TRUE(received >> number >> step >> value) << "lost from " << expected << " on";
      ASSERT_EQ(number, expected);
      ASSERT_EQ(step, expected);
      ASSERT_EQ(value, 1.0 / static_cast<double>(expected));
    }
    ASSERT_FALSE(received >> number) << "doubled";
  }
  EXPECT_GT(kills, 8);
}

}  // namespace
}  // namespace millrace::tracking
