#include "pipeline/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "base/clock.h"
#include "base/error.h"

namespace millrace::pipeline {
namespace {

using stages::Batch;
using stages::Sample;
using stages::Slot;

// Pictures of 2 x 2 pixels whose first byte is the low byte of the sample id; hooks are called from
// the stages.
class FakeSamples : public SampleWork {
 public:
  std::function<void(const Sample&)> on_read = [](const Sample&) {};
  std::function<void(const Sample&)> on_decode = [](const Sample&) {};
  std::function<void(const Sample&)> on_augment = [](const Sample&) {};

  stages::Size PictureSize(stages::Phase) const override { return {2, 2}; }
  RandomKey KeyAt(const Batch& batch, std::uint64_t position) override {
    EXPECT_EQ(++planning_, 1) << "two threads plan at the same time";
    std::this_thread::yield();  // another one would come now
    --planning_;
    if (fail_plan) throw Error("plan broke");
    return {.seed = 1, .epoch = batch.epoch, .sample_id = position};
  }
  void Read(const Sample& sample) override { on_read(sample); }
  void Decode(const Sample& sample) override { on_decode(sample); }
  void Augment(const Sample& sample) override {
    on_augment(sample);
    std::uint8_t* pixels = sample.slot->image(sample.index);
    std::fill(pixels, pixels + sample.slot->image_bytes(),
              static_cast<std::uint8_t>(sample.key.sample_id));
    sample.slot->label(sample.index) = static_cast<std::int64_t>(sample.key.sample_id);
    sample.slot->sample(sample.index).digest =
        Hash64(std::as_bytes(std::span(pixels, sample.slot->image_bytes())));
  }

  bool fail_plan = false;

 private:
  std::atomic<int> planning_{0};
};

// Remembers what it was given.
class FakeLane : public LaneWork {
 public:
  std::function<void(const Slot&)> on_copy = [](const Slot&) {};
  std::function<void(const Slot&)> on_step = [](const Slot&) {};
  std::vector<std::uint64_t> sequences;
  std::vector<std::uint64_t> digests;
  std::uint64_t num_copies = 0;
  bool copies_ahead = true;

  bool CopiesAhead() const override { return copies_ahead; }
  void Copy(Slot& slot) override {
    on_copy(slot);
    ++num_copies;
  }
  void TrainStep(const Slot& slot) override {
    sequences.push_back(slot.batch().sequence);
    digests.push_back(slot.Digest());
    for (std::uint32_t i = 0; i < slot.batch().size; ++i) {
      EXPECT_EQ(slot.sample(i).sample_id, slot.batch().first_position + i);
      EXPECT_EQ(slot.labels()[i], static_cast<std::int64_t>(slot.sample(i).sample_id));
    }
    on_step(slot);
  }
};

// `count` batches of `size` samples, dealt to `lanes` in turn.
std::function<std::optional<Batch>()> Batches(std::uint64_t count, std::uint32_t size,
                                              std::uint32_t lanes = 1) {
  return [=, next = std::uint64_t{0}]() mutable -> std::optional<Batch> {
    if (next == count) return std::nullopt;
    const Batch batch{.sequence = next,
                      .lane = static_cast<std::uint32_t>(next % lanes),
                      .step = next,
                      .first_position = next * size,
                      .size = size};
    ++next;
    return batch;
  };
}

struct FakeRun {
  FakeSamples samples;
  std::vector<FakeLane> lanes = std::vector<FakeLane>(1);
  Stop stop;
  StageStats stats;
  GraphOptions options{.workers = 2, .num_slots = 3, .max_batch = 16, .max_image_bytes = 12};

  void operator()(const std::function<std::optional<Batch>()>& next_batch) {
    std::vector<LaneWork*> work;
    for (FakeLane& lane : lanes) work.push_back(&lane);
    RunGraph(options, next_batch, samples, work, stop, stats);
  }
};

std::vector<std::uint64_t> Numbers(std::uint64_t first, std::uint64_t count,
                                   std::uint64_t step = 1) {
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t i = 0; i < count; ++i) numbers.push_back(first + i * step);
  return numbers;
}

TEST(Graph, BatchesReachTheLaneWholeAndInOrder) {
  FakeRun run;
  run(Batches(200, 16));
  EXPECT_EQ(run.lanes[0].sequences, Numbers(0, 200));
  EXPECT_EQ(run.lanes[0].num_copies, 200u);
  EXPECT_EQ(run.stats.Figures(Stage::kAugment).calls, 3200u);
  EXPECT_EQ(run.stats.Figures(Stage::kTrainStep).calls, 200u);
}

TEST(Graph, SeveralLanesReceiveTheirBatchesInOrder) {
  FakeRun run;
  run.lanes = std::vector<FakeLane>(3);
  run.options.num_slots = 7;
  run(Batches(100, 5, 3));
  EXPECT_EQ(run.lanes[0].sequences, Numbers(0, 34, 3));
  EXPECT_EQ(run.lanes[1].sequences, Numbers(1, 33, 3));
  EXPECT_EQ(run.lanes[2].sequences, Numbers(2, 33, 3));
}

// A batch waits for its last sample: where one sample is left lying, the lane idles although many
// later batches are finished.
TEST(Graph, BatchesAreFinishedInTheirOrder) {
  constexpr std::uint64_t kBatches = 100;
  constexpr std::uint32_t kBatch = 256;
  FakeRun run;
  run.options = {.workers = 4, .num_slots = 16, .max_batch = kBatch, .max_image_bytes = 12};
  // Work that needs no core: four workers work at the same time on any machine.
  run.samples.on_decode = [](const Sample& sample) {
    std::this_thread::sleep_for(std::chrono::microseconds(100 + sample.key.sample_id * 79 % 200));
  };
  std::mutex mutex;
  std::vector<std::uint32_t> left(kBatches, kBatch);
  std::uint64_t finished = 0;
  std::uint64_t overtaken = 0;  // batches that were finished before an older one, for each of these
  run.samples.on_augment = [&](const Sample& sample) {
    const std::lock_guard lock(mutex);
    const std::uint64_t batch = sample.slot->batch().sequence;
    if (--left[batch] != 0) return;
    if (finished > batch) overtaken += finished - batch;
    ++finished;
  };
  run(Batches(kBatches, kBatch));
  EXPECT_EQ(finished, kBatches);
  // None on a quiet machine; with tasks of one priority that hold the samples there are 11 to 27.
  EXPECT_LE(overtaken, 10u);
}

TEST(Graph, NumberOfWorkersAndSlotsDoesNotChangeBatches) {
  std::vector<std::vector<std::uint64_t>> digests;
  for (const auto& [workers, slots] : {std::pair{1, 1u}, {1, 4u}, {2, 2u}, {8, 5u}}) {
    FakeRun run;
    run.options.workers = workers;
    run.options.num_slots = slots;
    // Samples that take unequal time finish out of order.
    run.samples.on_decode = [](const Sample& sample) {
      std::this_thread::sleep_for(std::chrono::microseconds(sample.key.sample_id * 37 % 200));
    };
    run(Batches(30, 8));
    digests.push_back(run.lanes[0].digests);
  }
  for (const auto& other : digests) EXPECT_TRUE(other == digests.front());
}

TEST(Graph, GroupsOfWorkersGiveTheSameBatches) {
  FakeRun alone;
  alone.lanes = std::vector<FakeLane>(2);
  alone(Batches(200, 8, 2));
  for (const std::vector<WorkerGroup>& groups :
       {std::vector<WorkerGroup>{{.workers = 2}, {.workers = 1}}, {{}, {}, {}}}) {
    FakeRun run;
    run.lanes = std::vector<FakeLane>(2);
    run.options.workers = 3;
    run.options.groups = groups;
    run.options.num_slots = 7;
    std::mutex mutex;
    std::set<std::uint32_t> at_work;  // groups, each of which has its own slots
    run.samples.on_decode = [&](const Sample& sample) {
      std::this_thread::sleep_for(std::chrono::microseconds(sample.key.sample_id * 37 % 100));
      const std::lock_guard lock(mutex);
      at_work.insert(sample.slot->number() % static_cast<std::uint32_t>(groups.size()));
    };
    run(Batches(200, 8, 2));
    for (std::size_t lane = 0; lane < 2; ++lane) {
      EXPECT_EQ(run.lanes[lane].sequences, alone.lanes[lane].sequences);
      EXPECT_TRUE(run.lanes[lane].digests == alone.lanes[lane].digests);
    }
    EXPECT_EQ(run.stats.Figures(Stage::kCollate).calls, 1600u);
    EXPECT_EQ(at_work.size(), groups.size());
  }
}

TEST(Graph, GroupWhoseBatchesAreSlowHoldsUpNobodyForGood) {
  FakeRun run;
  run.options.groups.resize(2);
  run.options.num_slots = 4;
  run.options.max_slots = 16;
  run.samples.on_decode = [](const Sample& sample) {
    if (sample.slot->number() % 2 == 1 && sample.index == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  };
  run(Batches(100, 4));
  EXPECT_EQ(run.lanes[0].sequences, Numbers(0, 100));
}

TEST(Graph, SlotsBoundTheWorkInFlight) {
  FakeRun run;
  std::atomic<std::int64_t> in_flight{0};
  std::atomic<std::int64_t> most{0};
  run.samples.on_read = [&](const Sample&) {
    const std::int64_t now = ++in_flight;
    std::int64_t seen = most;
    while (seen < now && !most.compare_exchange_weak(seen, now)) {
    }
  };
  run.lanes[0].on_step = [&](const Slot& slot) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    in_flight -= slot.batch().size;
  };
  run(Batches(60, 16));
  EXPECT_LE(most, 3 * 16);
  EXPECT_GT(most, 16) << "later batches were not prepared during a step";
}

TEST(Graph, SamplesOfLaterBatchesAreMadeWhileAStepRuns) {
  FakeRun run;
  // Long enough that a batch is not made between two steps, where a busy machine may let the
  // workers run.
  run.samples.on_decode = [](const Sample&) {
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  };
  run.lanes[0].on_step = [](const Slot&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
  run(Batches(20, 16));
  for (const Stage stage : {Stage::kRead, Stage::kDecode, Stage::kAugment}) {
    const StageFigures figures = run.stats.Figures(stage);
    EXPECT_EQ(figures.calls, 320u) << StageName(stage);
    // Without any overlap there would be none; how many a busy machine lets through is its own.
    EXPECT_GT(figures.overlapped_calls, 32u) << StageName(stage);
  }
}

TEST(Graph, SlotsAreAddedWhereALaneWaitsAfterAFullReserve) {
  FakeRun run;
  run.options.max_slots = 64;
  std::vector<MoreSlots> told;  // by the lane's thread
  run.options.on_more_slots = [&](const MoreSlots& more) { told.push_back(more); };
  std::atomic<std::uint64_t> planned{0};  // batches of which a sample was read
  std::uint64_t most_in_flight = 0;
  run.samples.on_read = [&](const Sample& sample) {
    const std::uint64_t batch = sample.slot->batch().sequence;
    if (sample.index == 0) planned = std::max(planned.load(), batch + 1);
    // A hiccup of the disk that lasts far longer than the steps of the batches that are ready.
    if (batch == 10 && sample.index == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  };
  run.options.workers = 1;  // nobody goes on during the hiccup
  run.lanes[0].on_step = [&](const Slot& slot) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    most_in_flight = std::max(most_in_flight, planned - slot.batch().sequence);
  };
  run(Batches(60, 4));
  // The hiccup, and perhaps others of a busy machine.
  const auto hiccup = std::find_if(told.begin(), told.end(), [](const MoreSlots& more) {
    return more.waited_ns >= 100'000'000;
  });
  ASSERT_NE(hiccup, told.end());
  EXPECT_EQ(hiccup->now, 2 * hiccup->before);
  EXPECT_GE(hiccup->step_ns, 5'000'000);
  EXPECT_EQ(told[0].before, 3u);
  EXPECT_GT(most_in_flight, 3u);
  EXPECT_LE(most_in_flight, told.back().now);
  EXPECT_EQ(run.lanes[0].sequences, Numbers(0, 60));
}

TEST(Graph, SlowFeedGetsNoMoreSlots) {
  FakeRun run;
  run.options.max_slots = 8;
  bool told = false;
  run.options.on_more_slots = [&](const MoreSlots&) { told = true; };
  run.samples.on_decode = [](const Sample&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
  run(Batches(20, 8));
  EXPECT_FALSE(told);
}

TEST(Graph, FailureToTellOfMoreSlotsIsThrown) {
  FakeRun run;
  run.options.max_slots = 8;
  run.options.on_more_slots = [](const MoreSlots&) { throw Error("log broke"); };
  run.samples.on_read = [&](const Sample& sample) {
    if (sample.slot->batch().sequence == 10) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  };
  run.options.workers = 1;
  run.lanes[0].on_step = [&](const Slot&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  };
  EXPECT_THAT([&] { run(Batches(60, 8)); }, ::testing::ThrowsMessage<Error>("log broke"));
}

TEST(Graph, RunGoesOnWithoutMemoryForMoreSlots) {
  FakeRun run;
  run.options.max_slots = 8;
  bool told = false;
  run.options.on_more_slots = [&](const MoreSlots&) { told = true; };
  std::atomic<int> asked{0};
  run.options.allocate = [&](std::size_t bytes) {
    if (++asked > 3) throw std::bad_alloc();
    return stages::AllocatePageable(bytes);
  };
  run.samples.on_read = [&](const Sample& sample) {
    if (sample.slot->batch().sequence == 10) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  };
  run.options.workers = 1;
  run.lanes[0].on_step = [&](const Slot&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  };
  run(Batches(60, 8));
  EXPECT_EQ(run.lanes[0].sequences, Numbers(0, 60));
  EXPECT_GT(asked, 3);
  EXPECT_FALSE(told);
}

TEST(Graph, AsManySamplesAreUnderWayAsThereAreWorkers) {
  FakeRun run;
  run.options.workers = 3;
  std::atomic<int> under_way{0};
  std::atomic<int> most{0};
  run.samples.on_read = [&](const Sample&) {
    const int now = ++under_way;
    for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  };
  run.samples.on_augment = [&](const Sample&) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    --under_way;
  };
  run(Batches(30, 16));
  EXPECT_EQ(most, 3);
  EXPECT_EQ(run.lanes[0].sequences, Numbers(0, 30));
}

// A device whose steps leave the workers little to do, then a feed that becomes slower.
TEST(Graph, WorkersFollowWhatTheLanesNeed) {
  FakeRun run;
  run.options.workers = 8;
  run.options.least_workers = 2;
  run.options.num_slots = 16;       // bridge what a busy machine does to the workers
  std::vector<WorkersAtWork> told;  // by the lane's thread
  std::atomic<bool> few{false};
  run.options.on_workers = [&](const WorkersAtWork& change) {
    few = change.now == 2;
    told.push_back(change);
  };
  constexpr std::uint64_t kNever = ~std::uint64_t{0};
  std::atomic<std::uint64_t> slow_from{kNever};
  std::atomic<bool> enough{false};
  std::atomic<int> under_way{0};
  std::atomic<int> most_while_few{0};
  run.samples.on_read = [&](const Sample& sample) {
    const std::uint64_t batch = sample.slot->batch().sequence;
    const int now = ++under_way;
    if (batch >= slow_from) {
      std::this_thread::sleep_for(std::chrono::milliseconds(40));
    } else if (few && batch + 10 >= slow_from) {
      most_while_few = std::max(most_while_few.load(), now);
    }
  };
  run.samples.on_augment = [&](const Sample&) { --under_way; };
  run.lanes[0].on_step = [&](const Slot& slot) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    // What is in flight was begun by more workers.
    if (told.size() == 1 && slow_from == kNever) slow_from = slot.batch().sequence + 40;
    if (told.size() >= 2) enough = true;
  };
  run([&, batches = Batches(3000, 8)]() mutable { return enough ? std::nullopt : batches(); });
  ASSERT_GE(told.size(), 2u);
  EXPECT_EQ(told[0].before, 8);
  EXPECT_EQ(told[0].now, 2);
  EXPECT_LT(told[0].busy, 1);
  EXPECT_EQ(told[1].before, 2);
  EXPECT_EQ(told[1].now, 8);
  EXPECT_GT(told[1].waited_ns, 0);
  EXPECT_LE(most_while_few, 2);
  EXPECT_EQ(run.lanes[0].sequences, Numbers(0, run.lanes[0].sequences.size()));
}

TEST(Graph, LaneThatComputesWhereItCopiesHasOneBatchAtATime) {
  for (const bool copies_ahead : {false, true}) {
    FakeRun run;
    run.lanes[0].copies_ahead = copies_ahead;
    std::uint64_t most_ahead = 0;
    run.lanes[0].on_copy = [&](const Slot& slot) {
      most_ahead = std::max(most_ahead, slot.batch().sequence - run.lanes[0].sequences.size());
    };
    run.lanes[0].on_step = [](const Slot&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
    };
    run(Batches(30, 8));
    EXPECT_EQ(run.lanes[0].num_copies, 30u);
    // The batches that are ready during a step are copied behind it, before the next step.
    if (copies_ahead) {
      EXPECT_GT(most_ahead, 0u);
    } else {
      EXPECT_EQ(most_ahead, 0u);
    }
  }
}

TEST(Graph, WorkersGiveWayToLanes) {
  FakeRun run;
  const int own = ::getpriority(PRIO_PROCESS, 0);
  if (own >= 19) GTEST_SKIP() << "the tests run with the lowest priority";
  std::atomic<int> highest{-100};  // of a lane
  std::atomic<int> lowest{100};    // of the workers
  run.samples.on_decode = [&](const Sample&) {
    lowest = std::min(lowest.load(), ::getpriority(PRIO_PROCESS, 0));
  };
  run.lanes[0].on_step = [&](const Slot&) { highest = ::getpriority(PRIO_PROCESS, 0); };
  run(Batches(20, 8));
  EXPECT_EQ(highest, own);
  EXPECT_GT(lowest, own);
  EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), own) << "the calling thread's has changed";
}

TEST(Graph, NoBatchesEndsAtOnce) {
  FakeRun run;
  run(Batches(0, 1));
  EXPECT_TRUE(run.lanes[0].sequences.empty());
}

TEST(Graph, OldestBatchIsMadeFirst) {
  FakeRun run;
  run.options.workers = 1;
  run.options.num_slots = 4;
  std::vector<std::uint64_t> order;
  run.samples.on_read = [&](const Sample& sample) { order.push_back(sample.key.sample_id); };
  run(Batches(4, 4));
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end())) << ::testing::PrintToString(order);
}

TEST(Graph, FinishedBatchReachesItsLaneBeforeAllSlotsAreFull) {
  FakeRun run;
  run.options.workers = 1;
  run.options.num_slots = 4;
  std::atomic<bool> copied{false};
  std::atomic<bool> stepping{false};
  run.lanes[0].on_copy = [&](const Slot&) { copied = true; };
  run.lanes[0].on_step = [&](const Slot&) { stepping = true; };
  const auto wait_for = [](const std::atomic<bool>& flag, int milliseconds) {
    for (int i = 0; i < milliseconds && !flag; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
  std::atomic<bool> copied_in_time{false};
  std::atomic<bool> stepping_in_time{false};
  // The only worker is at the samples of the last slot: the first batch must have gone on before.
  run.samples.on_decode = [&](const Sample& sample) {
    if (sample.slot->batch().sequence != 3 || copied_in_time) return;
    wait_for(copied, 10'000);
    copied_in_time = copied.load();
  };
  // Between two samples the worker can bring the batch from the copy to the step.
  run.samples.on_augment = [&](const Sample& sample) {
    if (sample.slot->batch().sequence != 3 || stepping_in_time) return;
    wait_for(stepping, 200);
    stepping_in_time = stepping.load();
  };
  run(Batches(4, 16));
  EXPECT_TRUE(copied_in_time);
  EXPECT_TRUE(stepping_in_time);
}

class GraphEnd : public ::testing::TestWithParam<std::tuple<std::string, int>> {
 protected:
  static const std::string& node() { return std::get<0>(GetParam()); }

  // Calls `trigger` from the node that the parameter names, somewhere in the middle of the run.
  void Arm(FakeRun& run, const std::function<void()>& trigger) {
    run.options.groups.resize(static_cast<std::size_t>(std::get<1>(GetParam())));
    const auto at_sample = [trigger](const Sample& sample) {
      if (sample.key.sample_id >= 777) trigger();
    };
    const auto at_batch = [trigger](const Slot& slot) {
      if (slot.batch().sequence >= 97) trigger();
    };
    if (node() == "read") run.samples.on_read = at_sample;
    if (node() == "decode") run.samples.on_decode = at_sample;
    if (node() == "augment") run.samples.on_augment = at_sample;
    if (node() == "copy") run.lanes[1].on_copy = at_batch;
    if (node() == "train_step") run.lanes[1].on_step = at_batch;
  }
};

TEST_P(GraphEnd, FailureStopsEverythingWithinASecondAndIsThrown) {
  FakeRun run;
  run.lanes = std::vector<FakeLane>(2);
  run.options.num_slots = 6;
  auto next = Batches(1'000'000'000, 8, 2);
  std::atomic<std::int64_t> moment_ns{0};
  Arm(run, [&] {
    std::int64_t unset = 0;
    moment_ns.compare_exchange_strong(unset, NowNs());
    throw Error(node() + " broke");
  });
  EXPECT_THAT([&] { run([&] { return next(); }); },
              ::testing::ThrowsMessage<Error>(node() + " broke"));
  EXPECT_LT(NsToSeconds(NowNs() - moment_ns), 1.0);
}

TEST_P(GraphEnd, StopEndsEverythingWithinASecondWithoutError) {
  FakeRun run;
  run.lanes = std::vector<FakeLane>(2);
  run.options.num_slots = 6;
  auto next = Batches(1'000'000'000, 8, 2);
  std::atomic<std::int64_t> moment_ns{0};
  Arm(run, [&] {
    std::int64_t unset = 0;
    moment_ns.compare_exchange_strong(unset, NowNs());
    run.stop.Request();
  });
  EXPECT_NO_THROW(run([&] { return next(); }));
  EXPECT_LT(NsToSeconds(NowNs() - moment_ns), 1.0);
}

// With one group of workers, and with two.
INSTANTIATE_TEST_SUITE_P(EveryNode, GraphEnd,
                         ::testing::Combine(::testing::Values("read", "decode", "augment", "copy",
                                                              "train_step"),
                                            ::testing::Values(1, 2)),
                         [](const auto& end) {
                           return std::get<0>(end.param) + "_" +
                                  std::to_string(std::get<1>(end.param));
                         });

TEST(Graph, FailureInThePlanIsThrown) {
  FakeRun run;
  run.samples.fail_plan = true;
  EXPECT_THAT([&] { run(Batches(10, 4)); }, ::testing::ThrowsMessage<Error>("plan broke"));
}

TEST(Graph, FirstOfSeveralFailuresIsThrown) {
  FakeRun run;
  std::mutex mutex;
  std::string first_text;
  run.samples.on_decode = [&](const Sample& sample) {
    const std::string text = "sample " + std::to_string(sample.key.sample_id);
    {
      const std::lock_guard lock(mutex);
      if (first_text.empty()) first_text = text;
    }
    throw Error(text);
  };
  run.options.workers = 1;
  EXPECT_THROW(run(Batches(10, 4)), Error);
  EXPECT_EQ(first_text, "sample 0");
}

TEST(Graph, ExceptionsOfOtherKindsAreThrownToo) {
  FakeRun run;
  run.lanes[0].on_step = [](const Slot&) { throw std::bad_alloc(); };
  EXPECT_THROW(run(Batches(10, 4)), std::bad_alloc);
}

TEST(Graph, StopFromOutsideEndsWithinASecond) {
  FakeRun run;
  auto next = Batches(1'000'000'000, 8);
  std::atomic<std::int64_t> moment_ns{0};
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    moment_ns = NowNs();
    run.stop.Request();
  });
  run([&] { return next(); });
  EXPECT_LT(NsToSeconds(NowNs() - moment_ns), 1.0);
  other.join();
}

TEST(Graph, DataWaitIsLongWhenSamplesAreSlowAndShortWhenStepsAre) {
  FakeRun slow_samples;
  slow_samples.samples.on_decode = [](const Sample&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  };
  slow_samples(Batches(20, 8));
  EXPECT_GT(slow_samples.stats.DataWaitSeconds(), 20 * 8 * 0.002 / 2 * 0.8);

  FakeRun slow_steps;
  slow_steps.lanes[0].on_step = [](const Slot&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  };
  const std::int64_t begin_ns = NowNs();
  slow_steps(Batches(20, 8));
  // Half of the run: other programs may keep the samples waiting for a processor.
  EXPECT_LT(slow_steps.stats.DataWaitSeconds(), NsToSeconds(NowNs() - begin_ns) / 2);
}

}  // namespace
}  // namespace millrace::pipeline
