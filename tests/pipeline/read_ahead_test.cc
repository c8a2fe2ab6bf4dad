#include "pipeline/read_ahead.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>
#include <vector>

namespace millrace::pipeline {
namespace {

using stages::Batch;
using testing::IsEmpty;
using testing::SizeIs;

// Two epochs of 10 batches of 16, each followed by an evaluation of 3 batches.
BatchPlan SmallPlan(std::uint32_t epochs = 2) {
  return BatchPlan({.train_samples = 160,
                    .evaluate_samples = 40,
                    .per_device = 16,
                    .evaluate_per_device = 16,
                    .epochs = epochs});
}

std::tuple<std::uint64_t, stages::Phase, std::uint32_t, std::uint64_t, std::uint32_t> IdentityOf(
    const Batch& batch) {
  return {batch.sequence, batch.phase, batch.epoch, batch.first_position, batch.size};
}

struct Disk {
  std::vector<Batch> asked;
  ReadCounts counts;
  std::vector<DeeperReadAhead> told;

  ReadAheadOptions Options(std::uint32_t batches, std::uint32_t most = 0) {
    return {.batches = batches,
            .most_batches = most,
            .ask = [this](const Batch& batch) { asked.push_back(batch); },
            .reads = [this] { return counts; },
            .on_deeper = [this](const DeeperReadAhead& deeper) { told.push_back(deeper); }};
  }
  // Of every 100 reads so many are late.
  void Read(std::uint64_t reads, std::uint64_t late_of_100) {
    counts.total += reads;
    counts.late += reads * late_of_100 / 100;
  }
};

TEST(ReadAhead, BatchesAreThoseOfThePlanHoweverDeepItIs) {
  for (const std::uint32_t depth : {0u, 1u, 5u, 1000u}) {
    Disk disk;
    ReadAhead ahead(SmallPlan(), disk.Options(depth));
    BatchPlan plan = SmallPlan();
    std::size_t count = 0;
    while (const auto batch = plan.Next()) {
      const auto given = ahead.Next();
      ASSERT_TRUE(given);
      ASSERT_EQ(IdentityOf(*given), IdentityOf(*batch));
      ++count;
    }
    EXPECT_EQ(count, 26u);
    EXPECT_FALSE(ahead.Next());
    EXPECT_FALSE(ahead.Next());
  }
}

TEST(ReadAhead, EveryLaterBatchIsAskedForOnceSoFarAhead) {
  Disk disk;
  ReadAhead ahead(SmallPlan(), disk.Options(3));
  BatchPlan plan = SmallPlan();
  std::vector<Batch> all;
  while (const auto batch = plan.Next()) all.push_back(*batch);
  for (std::size_t i = 0; i < all.size(); ++i) {
    (void)ahead.Next();
    // All but the first, which is needed at once.
    ASSERT_THAT(disk.asked, SizeIs(std::min(i + 3, all.size() - 1)));
  }
  for (std::size_t i = 0; i < disk.asked.size(); ++i) {
    EXPECT_EQ(IdentityOf(disk.asked[i]), IdentityOf(all[i + 1]));
  }
}

TEST(ReadAhead, NothingIsAskedForTwiceWhereReadsAreInTime) {
  Disk disk;
  ReadAhead ahead(SmallPlan(40), disk.Options(0, 64));
  while (ahead.Next()) disk.Read(16, 12);
  EXPECT_THAT(disk.asked, IsEmpty());
  EXPECT_THAT(disk.told, IsEmpty());
}

TEST(ReadAhead, LateReadsDoubleTheDepthUpToTheMost) {
  Disk disk;
  ReadAhead ahead(SmallPlan(1000), disk.Options(0, 20));
  for (int i = 0; i < 2000; ++i) {
    (void)ahead.Next();
    disk.Read(16, 50);
  }
  ASSERT_THAT(disk.told, SizeIs(4));
  const std::uint32_t depths[] = {0, 4, 8, 16, 20};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(disk.told[i].before, depths[i]);
    EXPECT_EQ(disk.told[i].now, depths[i + 1]);
    EXPECT_NEAR(disk.told[i].late_share, 0.5, 0.01);
  }
  EXPECT_EQ(disk.asked.back().sequence, 1999u + 20);
}

TEST(ReadAhead, FirstReadsAreLateOnAnyDisk) {
  Disk disk;
  ReadAhead ahead(SmallPlan(1000), disk.Options(0, 20));
  for (int i = 0; i < 64; ++i) {  // 1,024 reads
    (void)ahead.Next();
    disk.Read(16, 100);
  }
  for (int i = 0; i < 500; ++i) {
    (void)ahead.Next();
    disk.Read(16, 0);
  }
  EXPECT_THAT(disk.told, IsEmpty());
}

TEST(ReadAhead, ReadsAskedForBeforeTheChangeAreNotHeldAgainstIt) {
  Disk disk;
  ReadAhead ahead(SmallPlan(1000), disk.Options(0, 1024));
  while (disk.told.empty()) {
    (void)ahead.Next();
    disk.Read(16, 100);
  }
  for (int i = 0; i < 4; ++i) {  // as many batches as the depth is now
    (void)ahead.Next();
    disk.Read(16, 100);
  }
  for (int i = 0; i < 500; ++i) {
    (void)ahead.Next();
    disk.Read(16, 0);
  }
  EXPECT_THAT(disk.told, SizeIs(1));
}

TEST(ReadAhead, PinnedDepthStays) {
  Disk disk;
  ReadAhead ahead(SmallPlan(1000), disk.Options(2));
  for (int i = 0; i < 500; ++i) {
    (void)ahead.Next();
    disk.Read(16, 100);
  }
  EXPECT_THAT(disk.told, IsEmpty());
  EXPECT_EQ(disk.asked.back().sequence, 499u + 2);
}

}  // namespace
}  // namespace millrace::pipeline
