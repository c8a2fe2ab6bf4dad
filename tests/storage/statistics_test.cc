#include "storage/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/pipeline/convert_fixture.h"
#include "tests/storage/record_fixture.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

TEST(Statistics, CountWhatTheRecordsSay) {
  const test::TemporaryFolder folder;
  test::WriteDataset(folder.path(), 10, 2);  // widths 100..109, labels 0, 1, 2, 0, ...
  const auto statistics = CollectStatistics(SplitReader(folder.path(), "train"));
  EXPECT_EQ(statistics.records, 10u);
  EXPECT_THAT(statistics.per_class, testing::ElementsAre(4, 3, 3));
  EXPECT_EQ(statistics.width, (Spread{.min = 100, .median = 104, .max = 109, .sum = 1045}));
  EXPECT_EQ(statistics.height, (Spread{.min = 50, .median = 50, .max = 50, .sum = 500}));
  EXPECT_EQ(statistics.pixels, (Spread{.min = 5000, .median = 5200, .max = 5450, .sum = 52250}));
  EXPECT_EQ(statistics.payload, (Spread{.min = 300, .median = 300, .max = 300, .sum = 3000}));
  EXPECT_THAT(statistics.per_subsampling, testing::ElementsAre(0, 0, 4, 0, 6, 0, 0, 0));
  EXPECT_EQ(statistics.png, 0u);
  EXPECT_EQ(statistics.repaired, 2u);
  EXPECT_THAT(statistics.per_repair, testing::ElementsAre(2, 0, 0, 0, 0, 0, 0));
  // Five indexes of three lengths, and two markers between the segments.
  EXPECT_EQ(statistics.indexed, 5u);
  EXPECT_EQ(statistics.index_bytes, 5u * (3 * 2 + 2 * 2));
}

TEST(Statistics, HistogramsHoldEveryRecord) {
  const test::TemporaryFolder folder;
  test::WriteDataset(folder.path(), 10, 2);
  const auto statistics = CollectStatistics(SplitReader(folder.path(), "train"));
  using Bin = Histogram::Bin;
  EXPECT_THAT(statistics.widths.bins(), testing::ElementsAre(Bin{96, 111, 10}));
  EXPECT_THAT(statistics.heights.bins(), testing::ElementsAre(Bin{48, 55, 10}));
  EXPECT_THAT(statistics.pixel_counts.bins(),
              testing::ElementsAre(Bin{4096, 5119, 3}, Bin{5120, 6143, 7}));
  EXPECT_THAT(statistics.payloads.bins(), testing::ElementsAre(Bin{256, 319, 10}));
}

TEST(Statistics, EveryRepairIsCountedByItself) {
  const test::TemporaryFolder folder;
  test::WriteDataset(folder.path(), 6, 1);
  // What each record says: nothing, two things, or something that only a later program knows.
  test::RewriteShard(folder.path(), "train", 0, [](std::uint64_t key, RecordView* record) {
    record->repairs = key == 1 ? kCmyk | kTrailingBytes : 0u;
    if (key == 2) record->repairs = kArithmetic;
    if (key == 3) record->repairs = 1u << 31;
    if (key == 4) record->subsampling = static_cast<Subsampling>(200);
  });
  const auto statistics = CollectStatistics(SplitReader(folder.path(), "train"));
  EXPECT_EQ(statistics.repaired, 3u);
  EXPECT_THAT(statistics.per_repair, testing::ElementsAre(0, 0, 1, 0, 1, 0, 1));
  EXPECT_EQ(statistics.per_subsampling[7], 1u);
}

TEST(Statistics, PngPayloadsAreToldFromJpegs) {
  const test::TemporaryFolder folder;
  test::WriteDataset(folder.path(), 6, 1);
  const auto png = test::MakePng(10, 10, 1);
  test::RewriteShard(folder.path(), "train", 0, [&](std::uint64_t key, RecordView* record) {
    if (key % 3 == 0) record->payload = png;
  });
  EXPECT_EQ(CollectStatistics(SplitReader(folder.path(), "train")).png, 2u);
}

TEST(Statistics, EachRecordIsShownOnceInOrder) {
  const test::TemporaryFolder folder;
  test::WriteDataset(folder.path(), 10, 3);
  std::vector<std::uint64_t> ids;
  CollectStatistics(SplitReader(folder.path(), "train"),
                    [&](std::uint64_t id, const RecordView& record) {
                      EXPECT_EQ(record.width, 100 + id);
                      ids.push_back(id);
                    });
  EXPECT_THAT(ids, testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST(Statistics, RepairsHaveNamesOfTheirOwn) {
  std::set<std::string> names;
  for (const Repair repair : kRepairs) names.insert(RepairName(repair));
  EXPECT_EQ(names.size(), kRepairs.size());
  EXPECT_STREQ(RepairName(kExifOrientation), "EXIF orientation");
}

TEST(Statistics, EmptySplitIsAllZero) {
  const test::TemporaryFolder folder;
  test::WriteDataset(folder.path(), 0, 1);
  const auto statistics = CollectStatistics(SplitReader(folder.path(), "train"));
  EXPECT_EQ(statistics.records, 0u);
  EXPECT_EQ(statistics.width, Spread{});
}

}  // namespace
}  // namespace millrace::storage
