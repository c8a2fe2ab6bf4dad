#include "pipeline/stage_stats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <thread>
#include <vector>

#include "base/random.h"

namespace millrace::pipeline {
namespace {

using testing::ElementsAre;

TEST(StageStats, StagesHaveTheNamesOfTheDesign) {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < kNumStages; ++i) names.push_back(StageName(static_cast<Stage>(i)));
  EXPECT_THAT(names, ElementsAre("plan", "read", "decode", "augment", "collate", "sequence", "copy",
                                 "train_step"));
}

TEST(StageStats, StageThatNeverRanHasOnlyZeros) {
  const StageStats stats;
  const StageFigures figures = stats.Figures(Stage::kDecode);
  EXPECT_EQ(figures.calls, 0u);
  EXPECT_EQ(figures.failures, 0u);
  EXPECT_EQ(figures.overlapped_calls, 0u);
  for (const double figure :
       {figures.total_s, figures.mean_ms, figures.p50_ms, figures.p90_ms, figures.p99_ms}) {
    EXPECT_EQ(figure, 0);
  }
  EXPECT_EQ(stats.DataWaitSeconds(), 0);
}

// Durations between `low` and `high` [ns], all magnitudes alike.
std::vector<std::int64_t> Durations(std::size_t count, double low, double high) {
  RandomStream random({.seed = count}, 0);
  std::vector<std::int64_t> durations;
  for (std::size_t i = 0; i < count; ++i) {
    durations.push_back(std::llround(std::exp(random.Uniform(std::log(low), std::log(high)))));
  }
  return durations;
}

TEST(StageStats, QuantilesAreWithinSixPercentOfTheExactOnes) {
  for (const std::size_t count : {1u, 2u, 9u, 10u, 100u, 1000u, 20'000u}) {
    auto durations = Durations(count, 1, 1e12);
    StageStats stats;
    double total_ns = 0;
    for (const std::int64_t duration : durations) {
      stats.Record(Stage::kDecode, duration, false);
      total_ns += static_cast<double>(duration);
    }
    std::sort(durations.begin(), durations.end());
    const StageFigures figures = stats.Figures(Stage::kDecode);
    const auto exact_ms = [&](double share) {
      const auto rank = static_cast<std::size_t>(share * static_cast<double>(count));
      return static_cast<double>(durations[rank]) * 1e-6;
    };
    EXPECT_NEAR(figures.p50_ms / exact_ms(0.50), 1, 0.06) << count;
    EXPECT_NEAR(figures.p90_ms / exact_ms(0.90), 1, 0.06) << count;
    EXPECT_NEAR(figures.p99_ms / exact_ms(0.99), 1, 0.06) << count;
    EXPECT_EQ(figures.calls, count);
    EXPECT_NEAR(figures.total_s / (total_ns * 1e-9), 1, 1e-9);
    EXPECT_NEAR(figures.mean_ms / (total_ns * 1e-6 / static_cast<double>(count)), 1, 1e-9);
  }
}

TEST(StageStats, EveryDurationIsToldWithinSixPercent) {
  std::vector<std::int64_t> durations = Durations(2000, 1, 1e12);
  for (std::int64_t power = 0; power < 40; ++power) {
    for (std::int64_t near = -1; near <= 1; ++near) {
      durations.push_back(std::max<std::int64_t>(1, (std::int64_t{1} << power) + near));
    }
  }
  for (const std::int64_t duration : durations) {
    StageStats stats;
    stats.Record(Stage::kDecode, duration, false);
    EXPECT_NEAR(stats.Figures(Stage::kDecode).p50_ms * 1e6 / static_cast<double>(duration), 1, 0.06)
        << duration;
  }
}

TEST(StageStats, DurationsOutsideTheHistogramCountAtItsEnds) {
  StageStats stats;
  stats.Record(Stage::kRead, 0, false);
  EXPECT_LT(stats.Figures(Stage::kRead).p50_ms, 2e-6);
  stats.Record(Stage::kCopy, std::int64_t{1} << 60, false);
  EXPECT_NEAR(stats.Figures(Stage::kCopy).p50_ms, std::exp2(40) * 1e-6,
              0.06 * std::exp2(40) * 1e-6);
  EXPECT_EQ(stats.Figures(Stage::kCopy).calls, 1u);
}

TEST(StageStats, StagesAreCountedApart) {
  StageStats stats;
  for (std::size_t i = 0; i < kNumStages; ++i) {
    for (std::size_t call = 0; call <= i; ++call) {
      stats.Record(static_cast<Stage>(i), 1000, call % 2 == 0);
      if (call % 3 == 0) stats.RecordFailure(static_cast<Stage>(i));
    }
  }
  for (std::size_t i = 0; i < kNumStages; ++i) {
    const StageFigures figures = stats.Figures(static_cast<Stage>(i));
    EXPECT_EQ(figures.calls, i + 1);
    EXPECT_EQ(figures.failures, i / 3 + 1);
    EXPECT_EQ(figures.overlapped_calls, i / 2 + 1);
  }
}

TEST(StageStats, NothingIsLostWhenManyThreadsRecord) {
  constexpr std::size_t kThreads = 8;
  constexpr std::uint64_t kCalls = 20'000;
  StageStats stats;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&stats, t] {
      for (std::uint64_t i = 0; i < kCalls; ++i) {
        stats.Record(Stage::kAugment, 1'000'000, i % 4 == 0);
        stats.RecordDataWait(static_cast<std::int64_t>(t) * 1000);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const StageFigures figures = stats.Figures(Stage::kAugment);
  EXPECT_EQ(figures.calls, kThreads * kCalls);
  EXPECT_EQ(figures.overlapped_calls, kThreads * kCalls / 4);
  EXPECT_NEAR(figures.total_s, kThreads * kCalls * 1e-3, 1e-6);
  EXPECT_NEAR(stats.DataWaitSeconds(), 28 * kCalls * 1e-6, 1e-9);
}

TEST(StageStats, CallThatBeginsOrEndsDuringAStepIsOverlapped) {
  StageStats stats;
  { const StageStats::Timer alone(stats, Stage::kDecode); }
  EXPECT_EQ(stats.Figures(Stage::kDecode).overlapped_calls, 0u);
  {
    const StageStats::Timer step_begins_inside(stats, Stage::kDecode);
    stats.StepBegins();
  }
  EXPECT_EQ(stats.Figures(Stage::kDecode).overlapped_calls, 1u);
  {
    const StageStats::Timer step_ends_inside(stats, Stage::kDecode);
    stats.StepEnds();
  }
  EXPECT_EQ(stats.Figures(Stage::kDecode).overlapped_calls, 2u);
  { const StageStats::Timer behind(stats, Stage::kDecode); }
  EXPECT_EQ(stats.Figures(Stage::kDecode).overlapped_calls, 2u);
  EXPECT_EQ(stats.Figures(Stage::kDecode).calls, 4u);
}

TEST(StageStats, StepRunsUntilTheLastLaneHasEndedIts) {
  StageStats stats;
  EXPECT_FALSE(stats.StepRunning());
  stats.StepBegins();
  stats.StepBegins();
  stats.StepEnds();
  EXPECT_TRUE(stats.StepRunning());
  stats.StepEnds();
  EXPECT_FALSE(stats.StepRunning());
}

}  // namespace
}  // namespace millrace::pipeline
