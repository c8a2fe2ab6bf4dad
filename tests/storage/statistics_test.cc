#include "storage/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/storage/record_fixture.h"
#include "tests/support/temporary_folder.h"

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
  EXPECT_EQ(statistics.payload, (Spread{.min = 300, .median = 300, .max = 300, .sum = 3000}));
  EXPECT_THAT(statistics.per_subsampling, testing::ElementsAre(0, 0, 4, 0, 6, 0, 0, 0));
  EXPECT_EQ(statistics.repaired, 2u);
  EXPECT_EQ(statistics.indexed, 5u);
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
