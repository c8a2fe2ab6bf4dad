#include "tracking/text_log.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/file.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace::tracking {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

constexpr char kTime[] = "[0-9]+-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+[.][0-9]+[+-][0-9]+:[0-9]+  ";

class TextLogTest : public testing::Test {
 protected:
  const test::TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_ / "log.txt";
};

TEST_F(TextLogTest, LineHasItsTimeAndIsInTheFileAtOnce) {
  TextLog log(path_);
  log.OnText("resuming from step 7");
  EXPECT_THAT(ReadFile(path_), MatchesRegex(fmt::format("{}resuming from step 7\n", kTime)));
}

TEST_F(TextLogTest, TextsAreWrittenAsTheyAre) {
  TextLog log(path_);
  log.OnText("{} {:d} 100% %v \u00e9");
  EXPECT_THAT(ReadFile(path_), HasSubstr("  {} {:d} 100% %v \u00e9\n"));
}

TEST_F(TextLogTest, SecondLogAppends) {
  TextLog(path_).OnText("first");
  TextLog(path_).OnText("second");
  EXPECT_THAT(ReadFile(path_), MatchesRegex(fmt::format("{0}first\n{0}second\n", kTime)));
}

TEST_F(TextLogTest, ValidationResultsAreWrittenAndTrainingStepsAndTimingsAreNot) {
  TextLog log(path_);
  log.OnScalars({.group = "train", .step = 1, .values = {{"loss", 1}}, .texts = {}});
  log.OnScalars({.kind = Scalars::Kind::kTiming,
                 .group = "val",
                 .step = 1,
                 .values = {{"images_per_s", 1}},
                 .texts = {}});
  log.OnProgress({.label = "train", .unit = "steps", .detail = ""});
  EXPECT_EQ(ReadFile(path_), "");
  log.OnScalars({.group = "val",
                 .step = 1234,
                 .epoch = 2,
                 .values = {{"top1", 0.70712345}, {"samples", 500}},
                 .texts = {}});
  EXPECT_THAT(ReadFile(path_),
              MatchesRegex(fmt::format("{}val step 1234: top1 0.707123 samples 500\n", kTime)));
}

TEST_F(TextLogTest, FullDiskIsAnErrorThatNamesTheFile) {
  EXPECT_THAT(test::ErrorOf([] { TextLog("/dev/full").OnText("a text"); }),
              AllOf(HasSubstr("/dev/full"), HasSubstr("No space left on device")));
}

TEST_F(TextLogTest, FileThatCannotBeOpenedIsNamed) {
  EXPECT_THAT(test::ErrorOf([&] { TextLog log(folder_.path()); }),
              StartsWith("cannot open " + folder_.path().string() + ": "));
}

}  // namespace
}  // namespace millrace::tracking
