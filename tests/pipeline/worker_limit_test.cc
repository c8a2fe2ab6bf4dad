#include "pipeline/worker_limit.h"

#include <gtest/gtest.h>

namespace millrace::pipeline {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kStep = 100 * kMs;

// A lane that takes a batch every kStep while `busy` workers are at it, and what is changed by it.
class Pace {
 public:
  explicit Pace(WorkerLimit& limit) : limit_(limit) {}

  std::optional<WorkersAtWork> Steps(int count, double busy) {
    std::optional<WorkersAtWork> last;
    for (int i = 0; i < count; ++i) {
      now_ns_ += kStep;
      stages_ns_ += busy * kStep;
      if (const auto change = limit_.StepEnded(now_ns_, static_cast<std::int64_t>(stages_ns_))) {
        last = change;
      }
    }
    return last;
  }

 private:
  WorkerLimit& limit_;
  std::int64_t now_ns_ = kMs;
  double stages_ns_ = 0;
};

TEST(WorkerLimit, BeginsWithAll) {
  const WorkerLimit limit(64, 2);
  EXPECT_EQ(limit.now(), 64);
  EXPECT_EQ(limit.all(), 64);
}

TEST(WorkerLimit, TwiceTheBusyOnesAreUsed) {
  WorkerLimit limit(64, 2);
  const auto change = Pace(limit).Steps(20, 5.2);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->before, 64);
  EXPECT_EQ(change->now, 11);
  EXPECT_NEAR(change->busy, 5.2, 1e-6);
  EXPECT_EQ(change->waited_ns, 0);
  EXPECT_EQ(limit.now(), 11);
}

TEST(WorkerLimit, NothingIsDecidedWithinASecond) {
  WorkerLimit limit(64, 2);
  EXPECT_FALSE(Pace(limit).Steps(10, 1));
  EXPECT_EQ(limit.now(), 64);
}

TEST(WorkerLimit, NeverFewerThanTheLeast) {
  WorkerLimit limit(64, 2);
  Pace(limit).Steps(20, 0.1);
  EXPECT_EQ(limit.now(), 2);
}

TEST(WorkerLimit, NeverMoreThanAll) {
  WorkerLimit limit(4, 2);
  EXPECT_FALSE(Pace(limit).Steps(100, 3.9));
  EXPECT_EQ(limit.now(), 4);
}

TEST(WorkerLimit, AsManyAsTheLeastAreAllAlways) {
  WorkerLimit limit(2, 2);
  EXPECT_FALSE(Pace(limit).Steps(100, 0.1));
  WorkerLimit pinned(16, 16);
  EXPECT_FALSE(Pace(pinned).Steps(100, 0.1));
  EXPECT_EQ(pinned.now(), 16);
}

TEST(WorkerLimit, MoreWorkMeansMoreWorkersBeforeALaneWaits) {
  WorkerLimit limit(64, 2);
  Pace pace(limit);
  pace.Steps(20, 4);
  EXPECT_EQ(limit.now(), 8);
  const auto change = pace.Steps(20, 6);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->now, 12);
  EXPECT_EQ(change->waited_ns, 0);
  EXPECT_EQ(limit.now(), 12);
}

TEST(WorkerLimit, LittleLessWorkChangesNothing) {
  WorkerLimit limit(64, 2);
  Pace pace(limit);
  pace.Steps(20, 4);
  EXPECT_FALSE(pace.Steps(100, 3.5));
  EXPECT_EQ(limit.now(), 8);
}

TEST(WorkerLimit, AllAreUsedWhenALaneWaits) {
  WorkerLimit limit(64, 2);
  Pace pace(limit);
  pace.Steps(20, 4);
  const auto change = limit.LaneWaited(30 * kMs, kStep);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->before, 8);
  EXPECT_EQ(change->now, 64);
  EXPECT_EQ(change->waited_ns, 30 * kMs);
  EXPECT_EQ(limit.now(), 64);
}

TEST(WorkerLimit, WhatWasTooFewIsNotTriedAgain) {
  WorkerLimit limit(64, 2);
  Pace pace(limit);
  for (const int expected : {8, 16, 32, 64}) {
    pace.Steps(30, 4);
    EXPECT_EQ(limit.now(), expected);
    limit.LaneWaited(30 * kMs, kStep);
    EXPECT_EQ(limit.now(), 64);
  }
}

TEST(WorkerLimit, NegligibleWaitChangesNothing) {
  WorkerLimit limit(64, 2);
  Pace pace(limit);
  pace.Steps(20, 4);
  EXPECT_FALSE(limit.LaneWaited(kStep / 100, kStep));
  EXPECT_EQ(limit.now(), 8);
}

TEST(WorkerLimit, ALaneThatAlwaysWaitsKeepsAll) {
  WorkerLimit limit(64, 2);
  Pace pace(limit);
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(pace.Steps(1, 60));
    EXPECT_FALSE(limit.LaneWaited(30 * kMs, kStep));
  }
  EXPECT_EQ(limit.now(), 64);
}

TEST(WorkerLimit, EvaluationUsesAllAndWhatFollowsIsNoReproach) {
  WorkerLimit limit(64, 2);
  Pace pace(limit);
  pace.Steps(20, 4);
  ASSERT_EQ(limit.now(), 8);
  limit.LaneWaitedInEvaluation();
  EXPECT_EQ(limit.now(), 64);
  EXPECT_FALSE(limit.LaneWaited(30 * kMs, kStep));  // the first training batch behind it
  EXPECT_FALSE(pace.Steps(20, 4)) << "the same as before: nothing to tell";
  EXPECT_EQ(limit.now(), 8);
}

}  // namespace
}  // namespace millrace::pipeline
