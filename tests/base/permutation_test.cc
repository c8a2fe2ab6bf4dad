#include "base/permutation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <unordered_set>
#include <vector>

namespace millrace {
namespace {

// True when the images of 0..size-1 are 0..size-1, each once.
bool IsBijection(std::uint64_t size, std::uint64_t key) {
  const Permutation permutation(size, key);
  std::vector<bool> seen(size, false);
  for (std::uint64_t i = 0; i < size; ++i) {
    const std::uint64_t image = permutation(i);
    if (image >= size || seen[image]) return false;
    seen[image] = true;
  }
  return true;
}

TEST(Permutation, IsABijectionForEverySizeUpTo4096) {
  for (std::uint64_t size = 1; size <= 4096; ++size) {
    ASSERT_TRUE(IsBijection(size, size * 0x9E3779B97F4A7C15u)) << "size " << size;
  }
}

TEST(Permutation, IsABijectionAroundPowersOfTwo) {
  for (int k = 1; k <= 20; ++k) {
    const std::uint64_t power = std::uint64_t{1} << k;
    for (const std::uint64_t size : {power - 1, power, power + 1}) {
      ASSERT_TRUE(IsBijection(size, 17)) << "size " << size;
    }
  }
}

TEST(Permutation, StaysInRangeAndRepeatsNothingInLargeSets) {
  for (int k = 21; k <= 40; ++k) {
    const std::uint64_t power = std::uint64_t{1} << k;
    for (const std::uint64_t size : {power - 1, power, power + 1}) {
      const Permutation permutation(size, 5);
      std::unordered_set<std::uint64_t> images;
      // Runs at both ends and in the middle, where off-by-one masks would show.
      for (const std::uint64_t begin : {std::uint64_t{0}, size / 2, size - 1000}) {
        for (std::uint64_t i = begin; i < begin + 1000; ++i) {
          const std::uint64_t image = permutation(i);
          ASSERT_LT(image, size);
          ASSERT_TRUE(images.insert(image).second) << "size " << size << ", index " << i;
        }
      }
    }
  }
}

// Pearson's chi-square of counts that should all be equal.
template <typename Counts>
double ChiSquare(const Counts& counts, double expected) {
  double sum = 0;
  for (const auto& count : counts) {
    const double difference = static_cast<double>(count) - expected;
    sum += difference * difference / expected;
  }
  return sum;
}

TEST(Permutation, SendsEveryIndexEverywhereEquallyOften) {
  constexpr std::uint64_t kSize = 10;
  constexpr int kKeys = 20000;
  for (std::uint64_t index = 0; index < kSize; ++index) {
    std::array<int, kSize> counts{};
    for (std::uint64_t key = 0; key < kKeys; ++key) ++counts[Permutation(kSize, key)(index)];
    // 9 degrees of freedom: above 33.7 with probability 1e-4; the keys are fixed, so is the answer.
    EXPECT_LT(ChiSquare(counts, double{kKeys} / kSize), 33.7) << "index " << index;
  }
}

TEST(Permutation, ReachesAllOrdersOfFourEquallyOften) {
  constexpr int kKeys = 24000;
  std::map<std::vector<std::uint64_t>, int> orders;
  for (std::uint64_t key = 0; key < kKeys; ++key) {
    const Permutation permutation(4, key);
    ++orders[{permutation(0), permutation(1), permutation(2), permutation(3)}];
  }
  ASSERT_EQ(orders.size(), 24u);
  std::vector<int> counts;
  counts.reserve(orders.size());
  for (const auto& [order, count] : orders) counts.push_back(count);
  // 23 degrees of freedom: above 56 with probability 1e-4.
  EXPECT_LT(ChiSquare(counts, kKeys / 24.0), 56.0);
}

TEST(Permutation, NeighboursPartAndKeysDiffer) {
  constexpr std::uint64_t kSize = 1281167;
  const Permutation one(kSize, 1);
  const Permutation two(kSize, 2);
  int kept_neighbours = 0;
  int same = 0;
  for (std::uint64_t i = 0; i + 1 < 20000; ++i) {
    if (one(i) + 1 == one(i + 1)) ++kept_neighbours;
    if (one(i) == two(i)) ++same;
  }
  EXPECT_LE(kept_neighbours, 2);
  EXPECT_LE(same, 2);
}

TEST(Permutation, OfOneIsZero) { EXPECT_EQ(Permutation(1, 99)(0), 0u); }

// Runs recorded in the past depend on these: a change here changes every sample order.
TEST(Permutation, GivesTheSameOrderInEveryVersion) {
  const auto head = [](std::uint64_t size, std::uint64_t key) {
    const Permutation permutation(size, key);
    std::vector<std::uint64_t> images;
    for (std::uint64_t i = 0; i < 6; ++i) images.push_back(permutation(i));
    return images;
  };
  EXPECT_EQ(head(1000, 7), (std::vector<std::uint64_t>{413, 755, 422, 873, 886, 329}));
  EXPECT_EQ(head(1281167, 0),
            (std::vector<std::uint64_t>{3083, 431835, 804502, 1172814, 447799, 355184}));
  EXPECT_EQ(head(std::uint64_t{1} << 40, 12345),
            (std::vector<std::uint64_t>{706025111022, 217343562089, 65143789926, 519686608137,
                                        494656758960, 993636951149}));
}

TEST(PermutationDeathTest, IndexBeyondTheSizeAborts) {
  const Permutation permutation(10, 0);
  EXPECT_DEATH(permutation(10), "check failed: index < size_");
}

}  // namespace
}  // namespace millrace
