#include "pipeline/sample_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace millrace::pipeline {
namespace {

using testing::ElementsAre;

std::vector<std::uint64_t> Order(std::uint64_t size, Shuffle shuffle, std::uint64_t seed,
                                 std::uint32_t epoch) {
  const SampleOrder order(size, shuffle, seed, epoch);
  std::vector<std::uint64_t> ids;
  for (std::uint64_t i = 0; i < size; ++i) ids.push_back(order.At(i));
  return ids;
}

std::vector<std::uint64_t> Identity(std::uint64_t size) {
  std::vector<std::uint64_t> ids(size);
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

TEST(SampleOrder, EveryEpochHoldsEverySampleOnce) {
  for (const std::uint64_t size : {1u, 2u, 3u, 5u, 63u, 64u, 65u, 1000u, 4097u}) {
    for (const std::uint32_t epoch : {0u, 1u, 89u, 0xFFFFFFFFu}) {
      auto ids = Order(size, Shuffle::kFull, 7, epoch);
      std::sort(ids.begin(), ids.end());
      ASSERT_EQ(ids, Identity(size)) << size << " samples, epoch " << epoch;
    }
  }
}

// Positions at which both hold the same sample.
std::size_t NumEqual(const std::vector<std::uint64_t>& a, const std::vector<std::uint64_t>& b) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) count += a[i] == b[i] ? 1 : 0;
  return count;
}

TEST(SampleOrder, EpochsAndSeedsHaveUnrelatedOrders) {
  // Two random permutations agree in one position on average; more than 12 has odds below 1e-9.
  const std::uint64_t seeds[] = {0, 1, std::uint64_t{1} << 32, ~std::uint64_t{0}};
  std::vector<std::vector<std::uint64_t>> orders = {Identity(5000)};
  for (const std::uint64_t seed : seeds) {
    for (const std::uint32_t epoch : {0u, 1u, 2u, 1000u}) {
      orders.push_back(Order(5000, Shuffle::kFull, seed, epoch));
    }
  }
  for (std::size_t a = 0; a < orders.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) EXPECT_LE(NumEqual(orders[a], orders[b]), 12u);
  }
}

TEST(SampleOrder, TwoObjectsAgreeInWhateverOrderTheyAreAsked) {
  const SampleOrder forward(777, Shuffle::kFull, 3, 4);
  const SampleOrder backward(777, Shuffle::kFull, 3, 4);
  std::vector<std::uint64_t> asked_backward(777);
  for (std::uint64_t i = 777; i-- > 0;) asked_backward[i] = backward.At(i);
  for (std::uint64_t i = 0; i < 777; ++i) ASSERT_EQ(forward.At(i), asked_backward[i]);
}

TEST(SampleOrder, NoneIsTheStoredOrderWhateverSeedAndEpoch) {
  EXPECT_EQ(Order(100, Shuffle::kNone, 5, 9), Identity(100));
}

// A change of these values changes every run that was ever made: never do it without a word in the
// change log.
TEST(SampleOrder, GoldenOrderIsKept) {
  EXPECT_THAT(Order(10, Shuffle::kFull, 0, 0), ElementsAre(0, 5, 9, 4, 6, 1, 8, 2, 3, 7));
  EXPECT_THAT(Order(10, Shuffle::kFull, 0, 1), ElementsAre(1, 5, 6, 7, 4, 8, 3, 0, 9, 2));
  const SampleOrder imagenet(1'281'167, Shuffle::kFull, 42, 89);
  EXPECT_EQ(imagenet.At(0), 1'075'790u);
  EXPECT_EQ(imagenet.At(640'583), 13'214u);
  EXPECT_EQ(imagenet.At(1'281'166), 288'384u);
}

}  // namespace
}  // namespace millrace::pipeline
