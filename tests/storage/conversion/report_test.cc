#include "storage/conversion/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "storage/dataset_report.h"
#include "storage/record_view.h"
#include "tests/support/temporary_folder.h"

namespace millrace::storage {
namespace {

using nlohmann::json;

json Read(const test::TemporaryFolder& folder) {
  return json::parse(ReadFile(folder / "report.json"));
}

TEST(ConversionReport, SplitsStandSideBySideAndReplaceTheirOwn) {
  const test::TemporaryFolder folder;
  WriteReport(folder.path(), "train", {.files = 3, .records = 2});
  WriteReport(folder.path(), "val", {.files = 9});
  WriteReport(folder.path(), "train", {.files = 4, .records = 2});
  EXPECT_EQ(Read(folder)["train"]["files"], 4);
  EXPECT_EQ(Read(folder)["val"]["files"], 9);
}

TEST(ConversionReport, FilesAreSortedAndWhatIsNoTextIsShownAsFarAsPossible) {
  const test::TemporaryFolder folder;
  WriteReport(folder.path(), "train",
              {.bad = {{"b\xff", "two", "left out"}, {"a", "one", "left out"}}});
  EXPECT_EQ(Read(folder)["train"]["bad"],
            json({{{"file", "a"}, {"fault", "one"}, {"action", "left out"}},
                  {{"file", "b\xef\xbf\xbd"}, {"fault", "two"}, {"action", "left out"}}}));
}

TEST(ConversionReport, LongListsAreCutOffAndSaySo) {
  const test::TemporaryFolder folder;
  WriteReport(folder.path(), "train",
              {.changed = std::vector<ListedFile>(101'234, ListedFile{"x", "y", "z"})});
  const json report = Read(folder)["train"];
  EXPECT_EQ(report["changed"].size(), 100'000u);
  EXPECT_EQ(report["not_listed"], json({{"changed", 1234}}));
  const auto read = ReadDatasetReport(folder.path(), 2);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->at("train").changed.total, 101'234u);
  EXPECT_EQ(read->at("train").changed.first.size(), 2u);
}

TEST(ConversionReport, ReportThatIsNoJsonIsReplaced) {
  const test::TemporaryFolder folder;
  WriteFileAtomically(folder / "report.json", "not JSON");
  WriteReport(folder.path(), "train", {.files = 1});
  EXPECT_EQ(Read(folder)["train"]["files"], 1);
}

TEST(ConversionReport, RepairsAreCountedByKind) {
  RepairCounts counts{};
  CountRepairs(kCmyk | kArithmetic, &counts);
  CountRepairs(kCmyk, &counts);
  CountRepairs(0, &counts);
  const test::TemporaryFolder folder;
  WriteReport(folder.path(), "train", {.repairs = counts});
  const json repairs = Read(folder)["train"]["repairs"];
  EXPECT_EQ(repairs["cmyk"], 2);
  EXPECT_EQ(repairs["arithmetic coding"], 1);
  EXPECT_EQ(repairs["truncated"], 0);
  EXPECT_EQ(repairs.size(), 7u);
}

}  // namespace
}  // namespace millrace::storage
