#include "base/spread.h"

#include <gtest/gtest.h>

#include <array>

namespace millrace {
namespace {

TEST(Spread, IsThatOfPythonsStatistics) {
  // statistics.mean() and statistics.stdev() of Python 3.11.
  const Spread spread = SpreadOf(std::array{0.7203, 0.7139, 0.7188, 0.7247});
  EXPECT_EQ(spread.count, 4u);
  EXPECT_NEAR(spread.mean, 0.719425, 1e-15);
  ASSERT_TRUE(spread.deviation);
  EXPECT_NEAR(*spread.deviation, 0.004453743743563776, 1e-15);
  EXPECT_EQ(spread.min, 0.7139);
  EXPECT_EQ(spread.max, 0.7247);
}

// The textbook's mean of squares less the square of the mean would lose all digits.
TEST(Spread, SmallDifferencesOfLargeNumbersAreKept) {
  const Spread spread = SpreadOf(std::array{1e9 + 1, 1e9 + 2, 1e9 + 3});
  EXPECT_EQ(spread.mean, 1e9 + 2);
  EXPECT_EQ(spread.deviation, 1.0);
}

TEST(Spread, OneNumberHasNoDeviation) {
  const Spread spread = SpreadOf(std::array{0.5});
  EXPECT_EQ(spread.mean, 0.5);
  EXPECT_FALSE(spread.deviation);
  EXPECT_EQ(spread.min, 0.5);
  EXPECT_EQ(spread.max, 0.5);
}

}  // namespace
}  // namespace millrace
