#include "storage/dataset_report.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class DatasetReportTest : public testing::Test {
 protected:
  Result<DatasetReport> Read(std::string_view text, std::size_t most_listed = 10) const {
    test::WriteText(folder_ / "report.json", text);
    return ReadDatasetReport(folder_.path(), most_listed);
  }

  const test::TemporaryFolder folder_;
};

TEST_F(DatasetReportTest, DatasetWithoutReportHasAnEmptyOne) {
  const auto report = ReadDatasetReport(folder_.path(), 10);
  ASSERT_TRUE(report);
  EXPECT_THAT(*report, IsEmpty());
}

TEST_F(DatasetReportTest, EveryKeyIsRead) {
  const auto report = Read(R"({"train": {
      "files": 7, "records": 6, "bytes_in": 800, "bytes_out": 700,
      "repairs": {"truncated": 0, "cmyk": 1},
      "bad": [{"file": "a.tar: b.JPEG", "fault": "a truncated JPEG", "action": "left out"}],
      "changed": [{"file": "c", "fault": "a CMYK JPEG", "action": "stored as an RGB PNG"}],
      "ignored": ["x/readme.txt", "y"]}, "val": {}})");
  ASSERT_TRUE(report);
  ASSERT_EQ(report->size(), 2u);
  const SplitReport& train = report->at("train");
  EXPECT_EQ(train.files, 7u);
  EXPECT_EQ(train.bytes_in, 800u);
  EXPECT_EQ(train.bytes_out, 700u);
  EXPECT_EQ(train.bad.total, 1u);
  EXPECT_THAT(train.bad.first,
              ElementsAre(ListedFile{"a.tar: b.JPEG", "a truncated JPEG", "left out"}));
  EXPECT_THAT(train.changed.first,
              ElementsAre(ListedFile{"c", "a CMYK JPEG", "stored as an RGB PNG"}));
  EXPECT_EQ(train.ignored.total, 2u);
  EXPECT_THAT(train.ignored.first,
              ElementsAre(ListedFile{"x/readme.txt", "", ""}, ListedFile{"y", "", ""}));
  EXPECT_EQ(report->at("val"), SplitReport{});
}

TEST_F(DatasetReportTest, LongListsAreCountedAndOnlyBegun) {
  std::string bad;
  std::string ignored;
  for (int i = 0; i < 1000; ++i) {
    bad += fmt::format(R"({}{{"file": "{}", "more": [1, {{"file": "inner"}}]}})", i ? "," : "", i);
    ignored += fmt::format(R"({}"{}")", i ? "," : "", i);
  }
  const auto report = Read(
      fmt::format(R"({{"train": {{"bad": [{0}], "ignored": [{1}]}}, "val": {{"bad": [{0}]}}}})",
                  bad, ignored),
      3);
  ASSERT_TRUE(report);
  for (const auto& list :
       {report->at("train").bad, report->at("train").ignored, report->at("val").bad}) {
    EXPECT_EQ(list.total, 1000u);
    EXPECT_THAT(list.first, ElementsAre(ListedFile{"0", "", ""}, ListedFile{"1", "", ""},
                                        ListedFile{"2", "", ""}));
  }
}

TEST_F(DatasetReportTest, ValuesOfAnotherKindArePassedOver) {
  for (const char* text :
       {R"({"train": {"files": -1, "bytes_in": "7", "bad": {"file": "x"}, "ignored": 3}})",
        R"({"train": {"files": 1.5, "bad": "all", "changed": null}})",
        R"({"train": {"more": []}})"}) {
    const auto report = Read(text);
    ASSERT_TRUE(report) << text;
    EXPECT_EQ(report->at("train"), SplitReport{}) << text;
  }
  const auto odd = Read(R"({"train": {"bad": [3, [{"file": "x"}], {"file": 7}, null]}})");
  ASSERT_TRUE(odd);
  EXPECT_THAT(odd->at("train").bad.first, ElementsAre(ListedFile{}));
  EXPECT_THAT(*Read(R"({"train": [{"bad": []}]})"), IsEmpty());
}

TEST_F(DatasetReportTest, WhatIsNoReportIsAFaultThatNamesTheFile) {
  for (const char* text : {"", "{", "[]", "7", R"({"train": {"bad": ["a)", "{\"a\": \"\xFF\"}"}) {
    const auto report = Read(text);
    ASSERT_FALSE(report) << text;
    EXPECT_THAT(report.fault().message, HasSubstr("report.json is not a report")) << text;
  }
  std::filesystem::remove(folder_ / "report.json");
  std::filesystem::create_directory(folder_ / "report.json");
  const auto report = ReadDatasetReport(folder_.path(), 10);
  ASSERT_FALSE(report);
  EXPECT_THAT(report.fault().message, HasSubstr("report.json"));
}

}  // namespace
}  // namespace millrace::storage
