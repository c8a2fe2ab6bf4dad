#include "base/random.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <set>
#include <vector>

namespace millrace {
namespace {

using Block = std::array<std::uint32_t, 4>;

std::vector<std::uint32_t> Draws(const RandomKey& key, std::uint32_t op_index, int count) {
  RandomStream stream(key, op_index);
  std::vector<std::uint32_t> draws(static_cast<std::size_t>(count));
  for (std::uint32_t& draw : draws) draw = stream.Next();
  return draws;
}

// tests/kat_vectors of Random123 1.14, lines "philox4x32 10".
TEST(Philox4x32, GivesTheKnownAnswersOfRandom123) {
  constexpr std::uint32_t kOnes = 0xFFFFFFFF;
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (Block{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
  EXPECT_EQ(Philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (Block{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}));
  EXPECT_EQ(Philox4x32({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}, {0xA4093822, 0x299F31D0}),
            (Block{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}));
}

TEST(Philox4x32, IsKnownAtCompileTime) {
  static_assert(Philox4x32({0, 0, 0, 0}, {0, 0})[0] == 0x6627E8D5);
}

TEST(RandomStream, StartsWithTheBlockOfItsKey) {
  const RandomKey key{.seed = 0x1122334455667788, .epoch = 9, .sample_id = 0xAABBCCDDEEFF0011};
  const Block block = Philox4x32({3u << 16, 9, 0xEEFF0011, 0xAABBCCDD}, {0x55667788, 0x11223344});
  EXPECT_EQ(Draws(key, 3, 4), std::vector<std::uint32_t>(block.begin(), block.end()));
}

TEST(RandomStream, SameKeyGivesTheSameDraws) {
  const RandomKey key{.seed = 1, .epoch = 2, .sample_id = 3};
  EXPECT_EQ(Draws(key, 4, 100), Draws(key, 4, 100));
}

TEST(RandomStream, EveryFieldChangesAllDraws) {
  const std::uint64_t high = std::uint64_t{1} << 32;
  const std::vector<std::vector<std::uint32_t>> streams = {
      Draws({.seed = 0, .epoch = 0, .sample_id = 0}, 0, 64),
      Draws({.seed = 1, .epoch = 0, .sample_id = 0}, 0, 64),
      Draws({.seed = high, .epoch = 0, .sample_id = 0}, 0, 64),
      Draws({.seed = 0, .epoch = 1, .sample_id = 0}, 0, 64),
      Draws({.seed = 0, .epoch = 0, .sample_id = 1}, 0, 64),
      Draws({.seed = 0, .epoch = 0, .sample_id = high}, 0, 64),
      Draws({.seed = 0, .epoch = 0, .sample_id = 0}, 1, 64),
      Draws({.seed = 0, .epoch = 0, .sample_id = 0}, 65535, 64)};
  std::set<std::uint32_t> all;
  for (const auto& stream : streams) all.insert(stream.begin(), stream.end());
  EXPECT_EQ(all.size(), streams.size() * 64);
}

TEST(RandomStream, NeighbouringOpsDoNotOverlapWithinTheirDraws) {
  // The last blocks of one operation's 2^18 draws and the first of the next are different counters.
  const RandomKey key{.seed = 5, .epoch = 1, .sample_id = 77};
  RandomStream stream(key, 0);
  for (int i = 0; i < (1 << 18) - 4; ++i) stream.Next();
  const Block last = {stream.Next(), stream.Next(), stream.Next(), stream.Next()};
  EXPECT_EQ(last, Philox4x32({0xFFFF, 1, 77, 0}, {5, 0}));
  EXPECT_NE(last[0], Draws(key, 1, 1)[0]);
}

TEST(RandomStream, UniformIsEvenOnItsInterval) {
  constexpr int kDraws = 100000;
  RandomStream stream({.seed = 3}, 0);
  std::array<int, 20> counts{};
  double sum = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double value = stream.Uniform();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
    ++counts[static_cast<std::size_t>(value * 20)];
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.004);  // four standard errors
  for (const int count : counts) EXPECT_NEAR(count, kDraws / 20.0, 300);
}

TEST(RandomStream, UniformUsesAll53Bits) {
  RandomStream raw({.seed = 8}, 2);
  RandomStream stream({.seed = 8}, 2);
  const std::uint64_t high = raw.Next() >> 5;
  const std::uint64_t low = raw.Next() >> 6;
  EXPECT_EQ(stream.Uniform() * 0x1.0p53, static_cast<double>(high * (1u << 26) + low));
}

TEST(RandomStream, UniformWithLimitsStaysInside) {
  RandomStream stream({.seed = 4}, 0);
  for (int i = 0; i < 10000; ++i) {
    const double value = stream.Uniform(-2.0, 3.0);
    ASSERT_GE(value, -2.0);
    ASSERT_LT(value, 3.0);
  }
}

TEST(RandomStream, BelowIsEvenForSmallBounds) {
  RandomStream stream({.seed = 5}, 0);
  std::array<int, 6> counts{};
  for (int i = 0; i < 60000; ++i) ++counts[stream.Below(6)];
  for (const int count : counts) EXPECT_NEAR(count, 10000, 400);
}

TEST(RandomStream, BelowHasNoBiasForLargeBounds) {
  // Without the rejection, half of all results would be multiples of 3 instead of a third.
  constexpr std::uint32_t kBound = 0xC0000000;
  RandomStream stream({.seed = 6}, 0);
  int multiples = 0;
  for (int i = 0; i < 30000; ++i) {
    const std::uint32_t value = stream.Below(kBound);
    ASSERT_LT(value, kBound);
    if (value % 3 == 0) ++multiples;
  }
  EXPECT_NEAR(multiples, 10000, 350);
}

TEST(RandomStream, BelowOneIsZero) {
  RandomStream stream({.seed = 7}, 0);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(stream.Below(1), 0u);
}

}  // namespace
}  // namespace millrace
