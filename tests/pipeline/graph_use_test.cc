#include "pipeline/profile/graph_use.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace millrace::pipeline {
namespace {

using testing::ElementsAre;

constexpr std::int64_t kMs = 1'000'000;

StageCall Call(Stage stage, std::int64_t begin_ms, std::int64_t end_ms, std::uint64_t batch = 0,
               std::uint32_t sample = StageCall::kWholeBatch) {
  return {.stage = stage,
          .batch = batch,
          .sample = sample,
          .begin_ns = begin_ms * kMs,
          .end_ns = end_ms * kMs};
}

std::vector<StageCall> InOrderOfEnds(std::vector<StageCall> calls) {
  std::stable_sort(calls.begin(), calls.end(),
                   [](const StageCall& a, const StageCall& b) { return a.end_ns < b.end_ns; });
  return calls;
}

// A batch of two samples on one worker and one lane, 100 ms from plan to step; shifted.
std::vector<StageCall> OneBatch(std::uint64_t batch, std::int64_t from_ms) {
  std::vector<StageCall> calls = {
      Call(Stage::kPlan, 1, 2, batch),         Call(Stage::kRead, 3, 8, batch, 0),
      Call(Stage::kDecode, 8, 18, batch, 0),   Call(Stage::kAugment, 19, 21, batch, 0),
      Call(Stage::kCollate, 21, 22, batch, 0), Call(Stage::kRead, 22, 24, batch, 1),
      Call(Stage::kDecode, 24, 54, batch, 1),  Call(Stage::kAugment, 54, 55, batch, 1),
      Call(Stage::kCollate, 55, 56, batch, 1), Call(Stage::kSequence, 57, 58, batch),
      Call(Stage::kCopy, 60, 65, batch),       Call(Stage::kTrainStep, 70, 100, batch),
  };
  for (StageCall& call : calls) {
    call.begin_ns += from_ms * kMs;
    call.end_ns += from_ms * kMs;
  }
  return calls;
}

std::vector<StageCall> Batches(int count) {
  std::vector<StageCall> calls;
  for (int i = 0; i < count; ++i) {
    const auto batch = OneBatch(static_cast<std::uint64_t>(i), i * 100);
    calls.insert(calls.end(), batch.begin(), batch.end());
  }
  return InOrderOfEnds(calls);
}

TEST(SpanOfSteps, GoesFromTheEndOfTheWarmUpToTheLastStep) {
  const Span span = SpanOfSteps(Batches(5), 2);
  EXPECT_EQ(span.begin_ns, 200 * kMs);
  EXPECT_EQ(span.end_ns, 500 * kMs);
  EXPECT_DOUBLE_EQ(span.seconds(), 0.3);
}

TEST(SpanOfSteps, KnowsTheStepsOfLaneZeroOnly) {
  auto calls = Batches(6);
  for (StageCall& call : calls) call.lane = static_cast<std::uint32_t>(call.batch % 2);
  const Span span = SpanOfSteps(calls, 1);  // of batches 0, 2 and 4
  EXPECT_EQ(span.begin_ns, 100 * kMs);
  EXPECT_EQ(span.end_ns, 500 * kMs);
}

TEST(SpanOfSteps, IsNothingWhenThereAreNoStepsBeyondTheWarmUp) {
  for (const std::size_t warm_up : {3u, 4u, 100u}) {
    EXPECT_EQ(SpanOfSteps(Batches(3), warm_up).seconds(), 0) << warm_up;
  }
  EXPECT_EQ(SpanOfSteps({}, 1).seconds(), 0);
}

TEST(UseWithin, CountsWhatEndsWithinTheSpan) {
  const auto calls = Batches(5);
  const GraphUse use = UseWithin(calls, SpanOfSteps(calls, 2), 1, 1);
  EXPECT_EQ(use.batches, 3u);
  EXPECT_EQ(use.samples, 6u);
  EXPECT_DOUBLE_EQ(use.images_per_s, 20);
  EXPECT_EQ(use.of(Stage::kDecode).calls, 6u);
  EXPECT_EQ(use.of(Stage::kTrainStep).calls, 3u);
  EXPECT_DOUBLE_EQ(use.of(Stage::kDecode).mean_ms, 20);
  EXPECT_DOUBLE_EQ(use.of(Stage::kDecode).p50_ms, 30);  // of 10 and 30 alike
  EXPECT_DOUBLE_EQ(use.of(Stage::kDecode).p99_ms, 30);
}

TEST(UseWithin, RateIsThatOfEachLaneFromStepToStep) {
  // Lane 1 is out of step: three of its steps end within the span, two periods of 100 ms.
  auto calls = Batches(4);
  const auto shifted = Batches(4);
  for (StageCall call : shifted) {
    call.lane = 1;
    call.batch += 100;
    call.begin_ns += 50 * kMs;
    call.end_ns += 50 * kMs;
    calls.push_back(call);
  }
  calls = InOrderOfEnds(calls);
  const GraphUse use = UseWithin(calls, SpanOfSteps(calls, 1), 1, 2);
  EXPECT_EQ(use.batches, 6u);
  EXPECT_DOUBLE_EQ(use.images_per_s, 40);
}

TEST(UseWithin, BusyTimeIsSharedBetweenWorkersAndLanes) {
  const auto calls = Batches(5);
  const GraphUse use = UseWithin(calls, SpanOfSteps(calls, 2), 2, 1);
  EXPECT_NEAR(use.of(Stage::kDecode).busy_cores, 0.40, 1e-9);
  EXPECT_NEAR(use.of(Stage::kTrainStep).busy_cores, 0.30, 1e-9);
  // 1 + 5 + 10 + 2 + 1 + 2 + 30 + 1 + 1 + 1 of 2 x 100 ms.
  EXPECT_NEAR(use.workers_busy, 0.27, 1e-9);
  EXPECT_NEAR(use.lanes_busy, 0.35, 1e-9);
}

TEST(UseWithin, CallThatReachesBeyondTheSpanCountsWithItsPartInside) {
  const std::vector<StageCall> calls = {
      Call(Stage::kTrainStep, 0, 10), Call(Stage::kDecode, 5, 15, 1, 0),
      Call(Stage::kTrainStep, 10, 20), Call(Stage::kDecode, 15, 40, 1, 1)};
  const GraphUse use = UseWithin(calls, SpanOfSteps(calls, 1), 1, 1);
  EXPECT_EQ(use.of(Stage::kDecode).calls, 1u);
  EXPECT_DOUBLE_EQ(use.of(Stage::kDecode).mean_ms, 10);
  EXPECT_NEAR(use.of(Stage::kDecode).busy_cores, 1, 1e-9);
}

TEST(UseWithin, QueuedIsTheTimeSinceTheStageBefore) {
  const auto calls = Batches(5);
  const GraphUse use = UseWithin(calls, SpanOfSteps(calls, 2), 1, 1);
  EXPECT_DOUBLE_EQ(use.of(Stage::kPlan).queued_ms, 1);     // since the slot's last step
  EXPECT_DOUBLE_EQ(use.of(Stage::kRead).queued_ms, 11.5);  // since the plan began: 2 and 21
  EXPECT_DOUBLE_EQ(use.of(Stage::kDecode).queued_ms, 0);
  EXPECT_DOUBLE_EQ(use.of(Stage::kAugment).queued_ms, 0.5);  // 1 and 0
  EXPECT_DOUBLE_EQ(use.of(Stage::kCollate).queued_ms, 0);
  EXPECT_DOUBLE_EQ(use.of(Stage::kSequence).queued_ms, 1);
  EXPECT_DOUBLE_EQ(use.of(Stage::kCopy).queued_ms, 2);
  EXPECT_DOUBLE_EQ(use.of(Stage::kTrainStep).queued_ms, 5);
}

TEST(UseWithin, BytesFaultsAndProcessorTimeAreSummed) {
  auto calls = Batches(3);
  for (StageCall& call : calls) {
    if (call.stage != Stage::kRead) continue;
    call.bytes = 1000;
    call.minor_faults = 3;
    call.major_faults = 2;
    call.processor_ns = 4 * kMs;
  }
  const GraphUse use = UseWithin(calls, SpanOfSteps(calls, 1), 1, 1);
  const StageUse& read = use.of(Stage::kRead);
  EXPECT_EQ(read.bytes, 4000u);
  EXPECT_EQ(read.minor_faults, 12u);
  EXPECT_EQ(read.major_faults, 8u);
  EXPECT_NEAR(read.processor_cores, 0.08, 1e-9);
  EXPECT_EQ(use.of(Stage::kDecode).bytes, 0u);
}

std::vector<std::pair<std::int64_t, int>> InMs(const std::vector<CountFrom>& counts) {
  std::vector<std::pair<std::int64_t, int>> in_ms;
  for (const CountFrom& count : counts) in_ms.emplace_back(count.from_ns / kMs, count.count);
  return in_ms;
}

TEST(CountReadyBatches, BatchIsReadyFromItsLastCollateUntilItsStepBegins) {
  EXPECT_THAT(
      InMs(CountReadyBatches(Batches(2))),
      ElementsAre(std::pair(56, 1), std::pair(70, 0), std::pair(156, 1), std::pair(170, 0)));
  const auto calls = Batches(2);
  const GraphUse use = UseWithin(calls, SpanOfSteps(calls, 1), 1, 1);
  EXPECT_NEAR(use.ready_batches, 0.14, 1e-9);
  EXPECT_NEAR(use.ready, 0.14, 1e-9);
}

TEST(CountReadyBatches, CountIsNeverLessThanNothing) {
  // A step that begins at the very moment at which its batch is finished.
  const auto calls =
      InOrderOfEnds({Call(Stage::kCollate, 1, 5, 0, 0), Call(Stage::kTrainStep, 5, 6, 0),
                     Call(Stage::kCollate, 2, 7, 1, 0), Call(Stage::kTrainStep, 7, 9, 1)});
  EXPECT_THAT(InMs(CountReadyBatches(calls)), ElementsAre(std::pair(5, 0), std::pair(7, 0)));
}

TEST(CountSamplesWaiting, SampleWaitsFromItsPlanUntilItsReadBegins) {
  EXPECT_THAT(InMs(CountSamplesWaiting(Batches(1))),
              ElementsAre(std::pair(1, 2), std::pair(3, 1), std::pair(22, 0)));
  const auto calls = Batches(2);
  EXPECT_NEAR(UseWithin(calls, SpanOfSteps(calls, 1), 1, 1).backlog, 0.21, 1e-9);
}

TEST(CountBatchesInFlight, BatchIsInFlightFromItsPlanToTheEndOfItsStep) {
  auto calls = OneBatch(0, 0);
  const auto second = OneBatch(1, 50);
  calls.insert(calls.end(), second.begin(), second.end());
  EXPECT_THAT(InMs(CountBatchesInFlight(InOrderOfEnds(calls))),
              ElementsAre(std::pair(1, 1), std::pair(51, 2), std::pair(100, 1), std::pair(150, 0)));
}

}  // namespace
}  // namespace millrace::pipeline
