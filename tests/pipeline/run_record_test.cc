#include "pipeline/run_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::pipeline {
namespace {

using test::ErrorOf;
using testing::HasSubstr;

class RunRecordTest : public testing::Test {
 protected:
  void SetUp() override {
    test::WriteText(folder_ / "config.toml", "seed = 1\n");
    test::WriteText(folder_ / "environment.json", R"({"dataset": "/d", "global_batch": 64})");
    test::WriteText(folder_ / "metrics.jsonl", lines_);
  }
  std::string ReadError() const {
    return ErrorOf([this] { (void)RunRecord::Read(folder_ / "."); });
  }

  const test::TemporaryFolder folder_;
  const std::string lines_ = R"({"group":"train","step":3,"loss":0.30000000000000004,"digest":"0f"}
{"group":"val","step":3,"top1":0.5}
)";
};

TEST_F(RunRecordTest, HoldsWhatTheFolderSays) {
  const RunRecord run = RunRecord::Read(folder_ / ".");
  EXPECT_EQ(run.config, "seed = 1\n");
  EXPECT_EQ(run.Environment("dataset"), "/d");
  EXPECT_EQ(run.Environment("global_batch"), "64");
  EXPECT_EQ(run.Environment("lanes"), "");
  ASSERT_EQ(run.lines.size(), 2u);
  EXPECT_EQ(run.lines[0].group, "train");
  EXPECT_EQ(run.lines[0].step, 3u);
  EXPECT_EQ(run.lines[0].Value("loss"), "0.30000000000000004") << "to the last bit";
  EXPECT_EQ(run.lines[0].Value("digest"), "0f");
  EXPECT_EQ(run.lines[1].Value("loss"), "");
}

TEST_F(RunRecordTest, LineWithoutAnEndDoesNotCount) {
  test::WriteText(folder_ / "metrics.jsonl", lines_ + "{\"group\":\"tr");
  EXPECT_EQ(RunRecord::Read(folder_ / ".").lines.size(), 2u);
}

TEST_F(RunRecordTest, DamagedFilesAreNamed) {
  for (const char* line : {"", "nonsense", "[]", "{}", R"({"group":"train"})",
                           R"({"group":"train","step":"three"})", R"({"group":7,"step":3})"}) {
    test::WriteText(folder_ / "metrics.jsonl", lines_ + line + "\n");
    EXPECT_THAT(ReadError(), HasSubstr("metrics.jsonl:3: is damaged: the line is none that a run "
                                       "writes"))
        << line;
  }
  test::WriteText(folder_ / "environment.json", "{");
  EXPECT_THAT(ReadError(), HasSubstr("environment.json: is damaged: it holds no JSON object"));
}

TEST_F(RunRecordTest, ValuesAreNumbersWhereTheyAre) {
  test::WriteText(
      folder_ / "metrics.jsonl",
      R"({"group":"train","step":3,"loss":0.25,"bad":"NaN","lr":"Infinity","digest":"0f"}
)");
  const RunLine line = RunRecord::Read(folder_ / ".").lines[0];
  EXPECT_EQ(line.Number("loss"), 0.25);
  EXPECT_EQ(line.Number("step"), 3);
  EXPECT_EQ(line.Number("lr"), std::numeric_limits<double>::infinity());
  for (const char* name : {"bad", "digest", "group", "missing"}) {
    EXPECT_TRUE(std::isnan(line.Number(name))) << name;
  }
}

TEST_F(RunRecordTest, TimingsAreReadAroundWhatAKilledRunLeft) {
  EXPECT_TRUE(ReadTimings(folder_ / ".").empty());
  test::WriteText(folder_ / "timings.jsonl",
                  R"({"group":"train","step":3,"images_per_s":100.5}
{"group":"tr{"group":"train","step":4,"images_per_s":7}
{"group":"train","step":5,"images_per_s":101}
{"group)");
  const std::vector<RunLine> lines = ReadTimings(folder_ / ".");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].Number("images_per_s"), 100.5);
  EXPECT_EQ(lines[1].step, 5u);
}

}  // namespace
}  // namespace millrace::pipeline
