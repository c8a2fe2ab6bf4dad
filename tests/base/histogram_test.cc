#include "base/histogram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace millrace {
namespace {

using Bin = Histogram::Bin;

TEST(Histogram, WithoutValuesHasNoBins) { EXPECT_TRUE(Histogram().bins().empty()); }

TEST(Histogram, BinsAreQuartersOfDoublings) {
  Histogram histogram;
  for (const std::uint64_t value : {7u, 8u, 9u, 13u, 16u, 19u, 19u}) histogram.Add(value);
  EXPECT_THAT(histogram.bins(),
              testing::ElementsAre(Bin{7, 7, 1}, Bin{8, 9, 2}, Bin{10, 11, 0}, Bin{12, 13, 1},
                                   Bin{14, 15, 0}, Bin{16, 19, 3}));
}

TEST(Histogram, EveryValueHasOneBinAndNoneIsLeftOut) {
  Histogram all;
  all.Add(0);
  all.Add(std::numeric_limits<std::uint64_t>::max());
  const auto bins = all.bins();
  ASSERT_EQ(bins.front().first, 0u);
  ASSERT_EQ(bins.back().last, std::numeric_limits<std::uint64_t>::max());
  for (std::size_t i = 0; i < bins.size(); ++i) {
    ASSERT_LE(bins[i].first, bins[i].last);
    if (i > 0) {
      ASSERT_EQ(bins[i].first, bins[i - 1].last + 1);
    }
    for (const std::uint64_t value : {bins[i].first, bins[i].last}) {
      Histogram one;
      one.Add(value);
      EXPECT_THAT(one.bins(), testing::ElementsAre(Bin{bins[i].first, bins[i].last, 1})) << value;
    }
  }
}

}  // namespace
}  // namespace millrace
