#include "pipeline/dataset_table.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "base/hash.h"
#include "tests/pipeline/summary_fixture.h"

namespace millrace::pipeline {
namespace {

using testing::HasSubstr;
using testing::Not;

class DatasetTableTest : public test::SummaryTest {
 protected:
  std::string Table(bool all_classes = false) const { return SummaryTable(Summary(), all_classes); }

  // Thirty classes: the first three of 8 records each, the others of none.
  void MakeManyClasses() {
    std::vector<storage::ClassInfo> classes;
    for (int i = 0; i < 30; ++i) {
      classes.push_back({.id = fmt::format("n{:03}", i), .name = fmt::format("name {}", i)});
    }
    Rename(classes);
  }
};

TEST_F(DatasetTableTest, HasTheFiguresOfEverySplit) {
  const auto manifest = storage::ReadManifest(dataset_);
  const std::string table = Table();
  EXPECT_THAT(table, HasSubstr(fmt::format("{}: 3 classes, dataset fingerprint {}",
                                           dataset_.string(), HashToHex(manifest.fingerprint))));
  EXPECT_THAT(table, HasSubstr(fmt::format("train: 24 records in 2 shards, {}, fingerprint {}",
                                           FormatBytes(24 * jpeg_.size()),
                                           HashToHex(manifest.splits.at("train").fingerprint))));
  EXPECT_THAT(table, HasSubstr("  width            300        300        300 "));
  EXPECT_THAT(table, HasSubstr("  height           200        200        200 "));
  EXPECT_THAT(table, HasSubstr("  pixels        60,000     60,000     60,000 "));
  EXPECT_THAT(table, HasSubstr("  kinds     JPEG 24\n  chroma    4:2:0 24\n"));
  EXPECT_THAT(table, HasSubstr("  index     12 records; 120 B with the restart markers"));
  EXPECT_THAT(table,
              HasSubstr("  5 repaired at conversion\n             5  truncated, such as sample "));
  EXPECT_THAT(table,
              HasSubstr("  3 classes of 8 records\n             8  n000\n             8  n001\n"));
}

TEST_F(DatasetTableTest, PngPayloadsAreAKindOfTheirOwn) {
  const auto png = test::MakePng(20, 10, 1);
  Rewrite([&](std::uint64_t id, storage::RecordView* record) {
    if (id < 2) record->payload = png;
  });
  EXPECT_THAT(Table(), HasSubstr("  kinds     JPEG 22   PNG 2\n"));
}

TEST_F(DatasetTableTest, OfManyClassesTheEndsAreListedUnlessAllAreWanted) {
  MakeManyClasses();
  const std::string table = Table();
  EXPECT_THAT(table, HasSubstr("  30 classes of 0 to 8 records\n             0  name 3 (n003)\n"));
  EXPECT_THAT(table, HasSubstr("           ...  20 more classes, all of them with --classes\n"));
  EXPECT_THAT(table, HasSubstr("             8  name 2 (n002)\n"));
  EXPECT_THAT(table, Not(HasSubstr("name 15 ")));
  const std::string all = Table(true);
  for (int i = 0; i < 30; ++i) EXPECT_THAT(all, HasSubstr(fmt::format("  name {} (n", i)));
  EXPECT_THAT(all, Not(HasSubstr("more classes")));
}

TEST_F(DatasetTableTest, ReportIsToldWithTheFirstFilesOfEachList) {
  std::string bad;
  for (int i = 0; i < 7; ++i) {
    bad += fmt::format(R"({}{{"file": "bad {}", "fault": "empty", "action": "left out"}})",
                       i == 0 ? "" : ",", i);
  }
  WriteReport(fmt::format(R"({{"train": {{"files": 1031, "bytes_in": 2048, "bad": [{}], "changed":
      [{{"file": "c", "fault": "a CMYK JPEG", "action": "stored as an RGB PNG"}}],
      "ignored": ["readme.txt"]}}}})",
                          bad));
  const std::string table = Table();
  EXPECT_THAT(table, HasSubstr("  made of 1,031 files, 2.0 KiB\n  7 files not used\n"
                               "    bad 0: empty (left out)\n"));
  EXPECT_THAT(table, HasSubstr("    bad 4: empty (left out)\n    ... and 2 more in report.json\n"));
  EXPECT_THAT(table, Not(HasSubstr("bad 5")));
  EXPECT_THAT(table, HasSubstr("  1 file changed\n    c: a CMYK JPEG (stored as an RGB PNG)\n"));
  EXPECT_THAT(table, HasSubstr("  1 file passed over, for not being pictures\n    readme.txt\n"));
}

TEST_F(DatasetTableTest, ReportThatCannotBeReadIsToldAndTheRestIsThere) {
  WriteReport("{");
  EXPECT_THAT(Table(), testing::AllOf(HasSubstr("train: 24 records"),
                                      HasSubstr("report.json is not a report")));
  EXPECT_THAT(nlohmann::json::parse(SummaryJson(Summary()))["report_fault"].get<std::string>(),
              HasSubstr("report.json is not a report"));
}

TEST_F(DatasetTableTest, NothingThatATerminalObeysGetsThrough) {
  Rename({{"n0\x1B[2J", "\x1B]0;title\x07"}, {"n1", "a\rb"}, {"n2", "c\nd"}});
  WriteReport(
      R"({"train": {"bad": [{"file": "\u001b[31m", "fault": "\u0007", "action": "\u009b1m"}]}})");
  const std::string table = Table();
  EXPECT_THAT(table, Not(HasSubstr("\x1B")));
  EXPECT_THAT(table, Not(HasSubstr("\x07")));
  EXPECT_THAT(table, Not(HasSubstr("\r")));
  EXPECT_THAT(table, Not(HasSubstr("\u009B")));
  EXPECT_THAT(table, HasSubstr("  c\uFFFDd (n2)\n"));
}

TEST_F(DatasetTableTest, JsonHasEveryFigure) {
  MakeManyClasses();
  WriteReport(R"({"train": {"files": 26, "bytes_in": 5, "bytes_out": 4,
      "bad": [{"file": "b", "fault": "f", "action": "a"}], "ignored": ["i", "j"]}})");
  const auto json = nlohmann::json::parse(SummaryJson(Summary()));
  EXPECT_EQ(json["fingerprint"], HashToHex(storage::ReadManifest(dataset_).fingerprint));
  EXPECT_EQ(json["tool_version"], "test");
  EXPECT_EQ(json["classes"].size(), 30u);
  EXPECT_EQ(json["classes"][7], (nlohmann::json{{"id", "n007"}, {"name", "name 7"}}));
  EXPECT_FALSE(json.contains("report_fault"));
  const auto& train = json["splits"]["train"];
  EXPECT_EQ(train["records"], 24);
  EXPECT_EQ(train["shards"], 2);
  EXPECT_EQ(train["width"],
            (nlohmann::json{{"min", 300}, {"median", 300}, {"max", 300}, {"sum", 7200}}));
  EXPECT_EQ(train["pixels"]["sum"], 24 * 60000);
  EXPECT_EQ(train["bytes"]["max"], jpeg_.size());
  EXPECT_EQ(train["kinds"], (nlohmann::json{{"JPEG", 24}, {"PNG", 0}}));
  EXPECT_EQ(train["chroma"], (nlohmann::json{{"4:2:0", 24}}));
  EXPECT_EQ(train["region_index"], (nlohmann::json{{"records", 12}, {"bytes", 120}}));
  EXPECT_EQ(train["repaired"], 5);
  EXPECT_EQ(train["repairs"]["truncated"], 5);
  EXPECT_EQ(train["repairs"]["cmyk"], 0);
  EXPECT_EQ(train["repairs"].size(), storage::kRepairs.size());
  EXPECT_EQ(train["per_class"].size(), 30u);
  EXPECT_EQ(train["per_class"][2], 8);
  EXPECT_EQ(train["histograms"]["height"], (nlohmann::json::array({{192, 223, 24}})));
  EXPECT_EQ(train["report"]["bytes_out"], 4);
  EXPECT_EQ(train["report"]["bad"],
            (nlohmann::json{{"total", 1},
                            {"first", {{{"file", "b"}, {"fault", "f"}, {"action", "a"}}}}}));
  EXPECT_EQ(train["report"]["ignored"]["total"], 2);
  EXPECT_EQ(train["report"]["changed"]["total"], 0);
}

}  // namespace
}  // namespace millrace::pipeline
