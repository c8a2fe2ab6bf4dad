#include "pipeline/run_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

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

}  // namespace
}  // namespace millrace::pipeline
