#include "pipeline/verify_resume.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace millrace::pipeline {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ChooseStops, AreDifferentStepsInOrderThatLeaveSomethingBehindThem) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const auto stops = ChooseStops(10, 3, seed);
    ASSERT_EQ(stops.size(), 3u);
    EXPECT_TRUE(std::is_sorted(stops.begin(), stops.end()));
    EXPECT_EQ(std::adjacent_find(stops.begin(), stops.end()), stops.end());
    EXPECT_GE(stops.front(), 1u);
    EXPECT_LE(stops.back(), 9u);
    EXPECT_EQ(ChooseStops(10, 3, seed), stops);
  }
  EXPECT_NE(ChooseStops(1000, 3, 1), ChooseStops(1000, 3, 2));
}

TEST(ChooseStops, ShortRunsHaveFewer) {
  EXPECT_THAT(ChooseStops(3, 3, 7), ElementsAre(1, 2));
  EXPECT_THAT(ChooseStops(2, 3, 7), ElementsAre(1));
  EXPECT_THAT(ChooseStops(1, 3, 7), IsEmpty());
  EXPECT_THAT(ChooseStops(0, 3, 7), IsEmpty());
}

}  // namespace
}  // namespace millrace::pipeline
