#include "tracking/json_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "base/file.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;
using test::ErrorOf;
using testing::HasSubstr;

Scalars Step(std::uint64_t step, double loss = 0.5) {
  return {.group = "train", .step = step, .epoch = 1, .values = {{"loss", loss}}, .texts = {}};
}

std::string LineOf(std::uint64_t step) {
  return fmt::format("{{\"group\":\"train\",\"step\":{},\"epoch\":1,\"loss\":0.5}}\n", step);
}

class JsonLinesTest : public testing::Test {
 protected:
  // What a sink writes for `scalars`.
  std::string Written(const Scalars& scalars) const {
    const fs::path path = folder_ / "once.jsonl";
    JsonLines(path, scalars.kind, 0).OnScalars(scalars);
    return ReadFile(path);
  }

  const test::TemporaryFolder folder_;
  const fs::path path_ = folder_ / "metrics.jsonl";
};

TEST_F(JsonLinesTest, LineHoldsGroupStepEpochValuesAndTextsInThatOrder) {
  EXPECT_EQ(
      Written({.group = "val",
               .step = 18'446'744'073'709'551'615u,
               .epoch = 3,
               .values = {{"top1", 0.1}, {"loss", 1e-300}, {"samples", 500}},
               .texts = {{"digest", "00ff"}, {"note", "a \"b\"\n\u00e9"}}}),
      "{\"group\":\"val\",\"step\":18446744073709551615,\"epoch\":3,\"top1\":0.1,"
      "\"loss\":1e-300,\"samples\":500.0,\"digest\":\"00ff\",\"note\":\"a \\\"b\\\"\\n\u00e9\"}\n");
}

TEST_F(JsonLinesTest, NumbersReadBackExactly) {
  for (const double value : {1.0 / 3, 0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308}) {
    const auto line = nlohmann::json::parse(Written(Step(1, value)));
    EXPECT_EQ(line["loss"].get<double>(), value);
    EXPECT_EQ(std::signbit(line["loss"].get<double>()), std::signbit(value));
  }
}

TEST_F(JsonLinesTest, NanAndInfinitiesAreTexts) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_THAT(Written(Step(1, std::numeric_limits<double>::quiet_NaN())),
              HasSubstr("\"loss\":\"NaN\"}"));
  EXPECT_THAT(Written(Step(1, kInfinity)), HasSubstr("\"loss\":\"Infinity\"}"));
  EXPECT_THAT(Written(Step(1, -kInfinity)), HasSubstr("\"loss\":\"-Infinity\"}"));
}

TEST_F(JsonLinesTest, OnlyItsKindIsWritten) {
  Scalars timing = Step(2);
  timing.kind = Scalars::Kind::kTiming;
  JsonLines results(path_, Scalars::Kind::kResult, 0);
  JsonLines timings(folder_ / "timings.jsonl", Scalars::Kind::kTiming, 0);
  for (Sink* sink : {static_cast<Sink*>(&results), static_cast<Sink*>(&timings)}) {
    sink->OnScalars(Step(1));
    sink->OnScalars(timing);
    sink->OnText("a text");
    sink->OnProgress({.label = "train", .unit = "steps", .detail = ""});
  }
  EXPECT_EQ(ReadFile(path_), LineOf(1));
  EXPECT_EQ(ReadFile(folder_ / "timings.jsonl"), LineOf(2));
}

TEST_F(JsonLinesTest, ResumedRunContinuesWhereItsCheckpointStood) {
  {
    JsonLines lines(path_, Scalars::Kind::kResult, 0);
    for (std::uint64_t step = 1; step <= 5; ++step) lines.OnScalars(Step(step));
  }
  const std::uint64_t kept = LineOf(1).size() + LineOf(2).size();
  {
    JsonLines lines(path_, Scalars::Kind::kResult, kept);
    EXPECT_EQ(fs::file_size(path_), kept);
    lines.OnScalars(Step(3));
  }
  EXPECT_EQ(ReadFile(path_), LineOf(1) + LineOf(2) + LineOf(3));
  // Everything kept, then nothing kept.
  JsonLines(path_, Scalars::Kind::kResult, fs::file_size(path_));
  EXPECT_EQ(fs::file_size(path_), 3 * LineOf(1).size());
  JsonLines(path_, Scalars::Kind::kResult, 0);
  EXPECT_EQ(ReadFile(path_), "");
}

TEST_F(JsonLinesTest, ShorterFileThanTheCheckpointSaysIsAnErrorAndStays) {
  WriteFileAtomically(path_, LineOf(1));
  EXPECT_EQ(
      ErrorOf([&] { JsonLines lines(path_, Scalars::Kind::kResult, 1000); }),
      fmt::format("{} has {} bytes, but the checkpoint was written when it had 1000: the file was "
                  "cut; resume from an older checkpoint or start a new run folder",
                  path_.string(), LineOf(1).size()));
  EXPECT_EQ(ReadFile(path_), LineOf(1));
}

TEST_F(JsonLinesTest, LengthThatNoFileHasIsAnErrorToo) {
  WriteFileAtomically(path_, LineOf(1));
  EXPECT_THAT(ErrorOf([&] { JsonLines lines(path_, Scalars::Kind::kResult, ~std::uint64_t{0}); }),
              HasSubstr("but the checkpoint was written when it had 18446744073709551615"));
  EXPECT_EQ(ReadFile(path_), LineOf(1));
}

TEST_F(JsonLinesTest, FileThatCannotBeOpenedIsNamed) {
  EXPECT_EQ(ErrorOf([&] { JsonLines lines(folder_.path(), Scalars::Kind::kResult, 0); }),
            "cannot open " + folder_.path().string() + ": Is a directory");
  const fs::path nowhere = folder_ / "no/where.jsonl";
  EXPECT_EQ(ErrorOf([&] { JsonLines lines(nowhere, Scalars::Kind::kResult, 0); }),
            "cannot open " + nowhere.string() + ": No such file or directory");
}

// Write calls that this thread has made so far.
std::uint64_t WriteCalls() {
  std::ifstream counters("/proc/thread-self/io");
  std::string name;
  std::uint64_t value = 0;
  while (counters >> name >> value) {
    if (name == "syscw:") return value;
  }
  return 0;
}

TEST_F(JsonLinesTest, EveryLineIsOneWriteAndInTheFileAtOnce) {
  JsonLines lines(path_, Scalars::Kind::kResult, 0);
  const std::uint64_t before = WriteCalls();
  const bool counted = fs::exists("/proc/thread-self/io");
  std::string expected;
  for (std::uint64_t step = 0; step < 100; ++step) {
    lines.OnScalars(Step(step));
    expected += LineOf(step);
    ASSERT_EQ(ReadFile(path_), expected);
  }
  if (!counted) GTEST_SKIP() << "this system does not count write calls";
  EXPECT_EQ(WriteCalls() - before, 100u);
}

TEST_F(JsonLinesTest, KilledProcessLeavesWholeLines) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    JsonLines lines(path_, Scalars::Kind::kResult, 0);
    for (std::uint64_t step = 0; step < 50; ++step) lines.OnScalars(Step(step));
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  std::string expected;
  for (std::uint64_t step = 0; step < 50; ++step) expected += LineOf(step);
  EXPECT_EQ(ReadFile(path_), expected);
}

TEST_F(JsonLinesTest, DiskWithoutRoomIsAnErrorThatNamesTheFile) {
  JsonLines lines(path_, Scalars::Kind::kResult, 0);
  lines.OnScalars(Step(1));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit room{.rlim_cur = LineOf(1).size() + 5, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &room), 0);
  const std::string error = ErrorOf([&] { lines.OnScalars(Step(2)); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(error, "cannot write " + path_.string() + ": File too large");
}

}  // namespace
}  // namespace millrace::tracking
