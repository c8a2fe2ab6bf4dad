#include "base/format.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace millrace {
namespace {

TEST(FormatBytes, CountsSmallSizesInBytes) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(812), "812 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
}

TEST(FormatBytes, UsesTheLargestFittingUnit) {
  EXPECT_EQ(FormatBytes(1024), "1.0 KiB");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(std::uint64_t{3} << 30), "3.0 GiB");
  EXPECT_EQ(FormatBytes(std::numeric_limits<std::uint64_t>::max()), "16.0 EiB");
}

TEST(FormatBytes, NeverShowsA1024OfAUnit) {
  EXPECT_EQ(FormatBytes((1u << 20) - 1), "1.0 MiB");
  EXPECT_EQ(FormatBytes((std::uint64_t{1} << 40) - 1), "1.0 TiB");
}

TEST(FormatDuration, ShowsTwoUnitsAtMost) {
  EXPECT_EQ(FormatDuration(0), "0.0 s");
  EXPECT_EQ(FormatDuration(0.84), "0.8 s");
  EXPECT_EQ(FormatDuration(42), "42 s");
  EXPECT_EQ(FormatDuration(187), "3m 07s");
  EXPECT_EQ(FormatDuration(2 * 3600 + 5 * 60), "2h 05m");
  EXPECT_EQ(FormatDuration(4 * 86400 + 3 * 3600), "4d 03h");
}

TEST(FormatDuration, RoundsIntoTheNextUnit) {
  EXPECT_EQ(FormatDuration(9.96), "10 s");
  EXPECT_EQ(FormatDuration(59.6), "1m 00s");
  EXPECT_EQ(FormatDuration(3599.7), "1h 00m");
  EXPECT_EQ(FormatDuration(86399.9), "1d 00h");
}

TEST(FormatDuration, AnswersNonsenseWithAQuestionMark) {
  EXPECT_EQ(FormatDuration(-1), "?");
  EXPECT_EQ(FormatDuration(std::numeric_limits<double>::quiet_NaN()), "?");
  EXPECT_EQ(FormatDuration(std::numeric_limits<double>::infinity()), "?");
}

TEST(FormatCount, SeparatesThousands) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(1281167), "1,281,167");
  EXPECT_EQ(FormatCount(std::numeric_limits<std::uint64_t>::max()), "18,446,744,073,709,551,615");
}

}  // namespace
}  // namespace millrace
