#include "pipeline/slot_growth.h"

#include <gtest/gtest.h>

namespace millrace::pipeline {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kStep = 10 * kMs;

// All slots hold finished batches; then their steps end.
void FillAndUse(SlotGrowth& growth, std::uint32_t slots) {
  for (std::uint32_t i = 0; i < slots; ++i) growth.BatchFinished();
  for (std::uint32_t i = 0; i < slots; ++i) growth.StepEnded();
}

TEST(SlotGrowth, WaitWithoutAFullReserveBeforeAsksForNothing) {
  SlotGrowth growth(4, 64, 1);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(growth.LaneWaited(50 * kMs, kStep));
}

TEST(SlotGrowth, BatchesThatFollowOneByOneAreNoFullReserve) {
  SlotGrowth growth(4, 64, 1);
  for (int i = 0; i < 100; ++i) {
    growth.BatchFinished();
    EXPECT_FALSE(growth.LaneWaited(50 * kMs, kStep));
    growth.StepEnded();
  }
}

TEST(SlotGrowth, WaitAfterAFullReserveAsksForTheBatchesOfThatTime) {
  SlotGrowth growth(4, 64, 1);
  FillAndUse(growth, 4);
  const auto more = growth.LaneWaited(25 * kMs, kStep);
  ASSERT_TRUE(more);
  EXPECT_EQ(more->before, 4u);
  EXPECT_EQ(more->now, 7u);
  EXPECT_EQ(more->waited_ns, 25 * kMs);
  EXPECT_EQ(more->step_ns, kStep);
}

TEST(SlotGrowth, ReserveMustFillAgainBeforeTheNextGrowth) {
  SlotGrowth growth(4, 64, 1);
  FillAndUse(growth, 4);
  ASSERT_TRUE(growth.LaneWaited(kStep / 2, kStep));
  EXPECT_FALSE(growth.LaneWaited(kStep / 2, kStep));
  FillAndUse(growth, 4);  // one is not filled
  EXPECT_FALSE(growth.LaneWaited(kStep / 2, kStep));
  FillAndUse(growth, 5);
  const auto more = growth.LaneWaited(kStep / 2, kStep);
  ASSERT_TRUE(more);
  EXPECT_EQ(more->before, 5u);
  EXPECT_EQ(more->now, 6u);
}

TEST(SlotGrowth, EveryLaneGetsItsShare) {
  SlotGrowth growth(16, 64, 4);
  FillAndUse(growth, 16);
  const auto more = growth.LaneWaited(15 * kMs, kStep);
  ASSERT_TRUE(more);
  EXPECT_EQ(more->now, 16u + 2 * 4);
}

TEST(SlotGrowth, OneLongWaitDoublesTheSlotsAtMost) {
  SlotGrowth growth(4, 64, 1);
  FillAndUse(growth, 4);
  EXPECT_EQ(growth.LaneWaited(3'600'000 * kMs, kStep)->now, 8u);
}

TEST(SlotGrowth, EndsAtTheMost) {
  SlotGrowth growth(4, 6, 1);
  FillAndUse(growth, 4);
  EXPECT_EQ(growth.LaneWaited(1'000 * kMs, kStep)->now, 6u);
  FillAndUse(growth, 6);
  EXPECT_FALSE(growth.LaneWaited(1'000 * kMs, kStep));
}

TEST(SlotGrowth, NoRoomBeyondTheFirstSlotsMeansNone) {
  for (const std::uint32_t most : {0u, 3u, 4u}) {
    SlotGrowth growth(4, most, 1);
    FillAndUse(growth, 4);
    EXPECT_FALSE(growth.LaneWaited(1'000 * kMs, kStep)) << most;
  }
}

TEST(SlotGrowth, NegligibleWaitIsAsNone) {
  SlotGrowth growth(4, 64, 1);
  FillAndUse(growth, 4);
  EXPECT_FALSE(growth.LaneWaited(kStep / 100, kStep));
  // The reserve still counts as full.
  EXPECT_TRUE(growth.LaneWaited(kStep / 100 + 1, kStep));
}

TEST(SlotGrowth, ReserveThatAnEvaluationUsedUpIsNotMissed) {
  SlotGrowth growth(4, 64, 1);
  FillAndUse(growth, 4);
  growth.LaneWaitedInEvaluation();
  EXPECT_FALSE(growth.LaneWaited(50 * kMs, kStep));
}

TEST(SlotGrowth, StepThatTookNoTimeIsNoTrouble) {
  SlotGrowth growth(4, 64, 1);
  FillAndUse(growth, 4);
  EXPECT_EQ(growth.LaneWaited(1, 0)->now, 6u);
}

}  // namespace
}  // namespace millrace::pipeline
