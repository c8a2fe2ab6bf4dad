#include "pipeline/sample_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
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

TEST(CopyAt, WithoutCopiesPositionsStayWhatTheyAre) {
  for (const std::uint64_t position : {0u, 1u, 77u}) {
    EXPECT_EQ(CopyAt(position, 0, 1), (CopiedPosition{.position = position, .copy = 0}));
  }
}

TEST(CopyAt, EveryGlobalBatchHoldsItsStretchOfTheOrderOncePerCopy) {
  for (const std::uint32_t copies : {2u, 3u, 4u, 12u}) {
    for (const std::uint64_t samples : {1u, 2u, 5u, 64u}) {
      const std::uint64_t global = copies * samples;
      for (std::uint64_t step = 0; step < 3; ++step) {
        for (std::uint64_t i = 0; i < global; ++i) {
          const CopiedPosition at = CopyAt(step * global + i, global, copies);
          EXPECT_EQ(at.copy, i / samples);
          EXPECT_EQ(at.position, step * samples + i % samples);
        }
      }
    }
  }
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

constexpr std::uint64_t kBlock = SampleOrder::kBlockSamples;
constexpr std::uint64_t kWindow = kBlock * SampleOrder::kWindowBlocks;

TEST(SampleOrder, BlocksHoldEverySampleOnce) {
  for (const std::uint64_t size :
       {std::uint64_t{1}, std::uint64_t{2}, kBlock - 1, kBlock, kBlock + 1, kWindow - 1, kWindow,
        kWindow + 1, kWindow + kBlock + 7, 5 * kWindow - kBlock - 1, 5 * kWindow}) {
    for (const std::uint32_t epoch : {0u, 1u, 2u, 3u, 0xFFFFFFFFu}) {
      auto ids = Order(size, Shuffle::kBlocks, 7, epoch);
      std::sort(ids.begin(), ids.end());
      ASSERT_EQ(ids, Identity(size)) << size << " samples, epoch " << epoch;
    }
  }
}

TEST(SampleOrder, BlocksOfOtherEpochsAndSeedsHaveUnrelatedOrders) {
  std::vector<std::vector<std::uint64_t>> orders = {Identity(20000)};
  for (const std::uint64_t seed : {0u, 1u}) {
    for (const std::uint32_t epoch : {0u, 1u, 2u}) {
      orders.push_back(Order(20000, Shuffle::kBlocks, seed, epoch));
    }
  }
  for (std::size_t a = 0; a < orders.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) EXPECT_LE(NumEqual(orders[a], orders[b]), 20u);
  }
}

// Whatever the disk has to read for so many positions on end are that many samples, in whole
// blocks, however mixed they come.
TEST(SampleOrder, WindowOfBlocksNeedsOnlyItsBlocks) {
  const std::uint64_t size = 7 * kWindow + 100;
  const auto ids = Order(size, Shuffle::kBlocks, 3, 4);
  std::size_t neighbours = 0;
  for (std::uint64_t begin = 0; begin < size; begin += kWindow) {
    std::set<std::uint64_t> blocks;
    for (std::uint64_t i = begin; i < std::min(size, begin + kWindow); ++i) {
      blocks.insert(ids[i] / kBlock);
      if (i > begin && ids[i] == ids[i - 1] + 1) ++neighbours;
    }
    // The shorter block moves windows, so that one may reach into the next.
    EXPECT_LE(blocks.size(), 2 * SampleOrder::kWindowBlocks);
  }
  EXPECT_LT(neighbours, 50u);
}

// What comes from the disk pushes out what came longest ago: nothing is used later than two windows
// of other samples after it was asked for, from one epoch to the next.
TEST(SampleOrder, EverySampleIsAskedForBeforeItIsUsedAndNoEarlierThanTwoWindows) {
  for (const std::uint64_t size : {kBlock - 3, kBlock + 1, kWindow, kWindow + kBlock + 1,
                                   3 * kWindow + 5, 6 * kWindow - kBlock - 1}) {
    const std::uint64_t first_window = std::min(SampleOrder::kWindowBlocks, size / kBlock + 1);
    std::uint64_t asked_samples = 0;
    std::map<std::uint64_t, std::uint64_t> asked_at;  // by sample: asked_samples when it was
    for (const std::uint32_t epoch : {0u, 1u, 2u, 3u}) {
      const SampleOrder order(size, Shuffle::kBlocks, 9, epoch);
      const SampleOrder next(size, Shuffle::kBlocks, 9, epoch + 1);
      for (std::uint64_t position = 0; position < size; ++position) {
        std::vector<SampleRun> runs = order.ReadAhead(position, next);
        // The epoch before has asked for the first window.
        if (position == 0 && epoch > 0) {
          runs.erase(runs.begin(),
                     runs.begin() + static_cast<std::ptrdiff_t>(
                                        std::min<std::uint64_t>(first_window, runs.size() - 1)));
        }
        for (const SampleRun& run : runs) {
          ASSERT_LE(run.first + run.count, size);
          for (std::uint64_t i = 0; i < run.count; ++i) asked_at[run.first + i] = ++asked_samples;
        }
        const auto asked = asked_at.find(order.At(position));
        ASSERT_NE(asked, asked_at.end()) << position << " of " << size << ", epoch " << epoch;
        ASSERT_LE(asked_samples - asked->second, 2 * kWindow + kBlock)
            << position << " of " << size << ", epoch " << epoch;
      }
    }
    // Every sample is asked for once in an epoch, and a window for an epoch that does not come.
    EXPECT_LE(asked_samples, 4 * size + std::min(size, kWindow));
    EXPECT_GE(asked_samples, 4 * size);
  }
}

TEST(SampleOrder, FirstPositionAsksForTheWholeWindow) {
  const SampleOrder order(3 * kWindow, Shuffle::kBlocks, 9, 5);
  const SampleOrder next(3 * kWindow, Shuffle::kBlocks, 9, 6);
  std::set<std::uint64_t> asked;
  for (const SampleRun& run : order.ReadAhead(0, next)) {
    for (std::uint64_t i = 0; i < run.count; ++i) asked.insert(run.first + i);
  }
  EXPECT_EQ(asked.size(), kWindow + kBlock);
  for (std::uint64_t position = 0; position < kWindow; ++position) {
    EXPECT_TRUE(asked.contains(order.At(position)));
  }
}

TEST(SampleOrder, OnlyBlocksAreReadAhead) {
  for (const Shuffle shuffle : {Shuffle::kFull, Shuffle::kNone}) {
    const SampleOrder order(1000, shuffle, 1, 2);
    for (std::uint64_t i = 0; i < 1000; ++i) EXPECT_TRUE(order.ReadAhead(i, order).empty());
  }
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
  const SampleOrder blocks(1'281'167, Shuffle::kBlocks, 42, 89);
  EXPECT_EQ(blocks.At(0), 1'150'749u);
  EXPECT_EQ(blocks.At(640'583), 970'760u);
  EXPECT_EQ(blocks.At(1'281'166), 1'085'363u);
}

}  // namespace
}  // namespace millrace::pipeline
