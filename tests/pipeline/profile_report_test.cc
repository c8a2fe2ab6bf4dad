#include "pipeline/profile/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "pipeline/profile/chrome_trace.h"
#include "pipeline/profile/page.h"
#include "pipeline/profile/thread_names.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace::pipeline {
namespace {

using Json = nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kOrigin = 5'000 * kMs;

// Batches of one sample, 10 ms each, decoded by two workers and stepped by one lane.
std::vector<StageCall> Calls(std::uint64_t batches) {
  std::vector<StageCall> calls;
  for (std::uint64_t batch = 0; batch < batches; ++batch) {
    const std::int64_t from = kOrigin + static_cast<std::int64_t>(batch) * 10 * kMs;
    const auto add = [&](Stage stage, std::uint32_t thread, std::int64_t begin_ms,
                         std::int64_t end_ms, std::uint32_t sample) {
      calls.push_back({.stage = stage,
                       .thread = thread,
                       .slot = static_cast<std::uint32_t>(batch % 4),
                       .batch = batch,
                       .sample = sample,
                       .begin_ns = from + begin_ms * kMs,
                       .end_ns = from + end_ms * kMs,
                       .bytes = stage == Stage::kRead ? 1000u : 0u});
    };
    const auto worker = static_cast<std::uint32_t>(2 * (batch % 2));
    add(Stage::kPlan, worker, 0, 1, StageCall::kWholeBatch);
    add(Stage::kRead, worker, 1, 2, 0);
    add(Stage::kDecode, worker, 2, 4, 0);
    add(Stage::kAugment, worker, 4, 5, 0);
    add(Stage::kCollate, worker, 5, 6, 0);
    add(Stage::kSequence, worker, 6, 7, StageCall::kWholeBatch);
    add(Stage::kCopy, 1, 7, 8, StageCall::kWholeBatch);
    add(Stage::kTrainStep, 1, 8, 10, StageCall::kWholeBatch);
  }
  return calls;
}

Measurement Measured(std::uint64_t batches) {
  Measurement measured{.use = {}, .calls = Calls(batches), .memory = {}};
  measured.use = UseWithin(measured.calls, SpanOfSteps(measured.calls, 2), 2, 1);
  measured.slots = 4;
  measured.memory = {.anonymous = 3 << 20, .shared = 1 << 20, .files = 500 << 20};
  measured.slot_bytes = 1 << 20;
  measured.lane_bytes = 512 << 10;
  return measured;
}

ProfileReport Report(ProfiledStep step) {
  ProfileReport report{.recipe = "small",
                       .dataset = "data/small",
                       .devices = "cpu:1",
                       .per_device = 1,
                       .picture_width = 32,
                       .picture_height = 24,
                       .workers = 2,
                       .slots = 4,
                       .lanes = 1,
                       .cores = 2,
                       .step = step,
                       .emulated_step_ms = step == ProfiledStep::kEmulated ? 8.0 : 0.0,
                       .measured = {},
                       .decoded = {.gpu = 7000, .region = 1300, .libjpeg_turbo = 20, .libpng = 1},
                       .verdict = {}};
  report.measured.feed = Measured(6);
  if (step != ProfiledStep::kNone) {
    report.measured.whole = Measured(12);
    report.measured.lanes = Measured(8);
  }
  report.verdict = Judge(report.measured, report.workers, report.cores);
  return report;
}

TEST(NameThreads, WorkersAreNumberedAndLanesKeepTheirNumber) {
  std::vector<std::string> names;
  for (const NamedThread& thread : NameThreads(Calls(4))) {
    names.push_back(std::to_string(thread.number) + ": " + thread.name);
  }
  EXPECT_THAT(names, ElementsAre("0: worker 0", "2: worker 1", "1: lane 0"));
  EXPECT_TRUE(NameThreads({}).empty());
}

TEST(ProfileReport, DeviceUtilisationIsThatOfTheStep) {
  EXPECT_EQ(Report(ProfiledStep::kNone).device_utilisation(), std::nullopt);
  // 1 ms of copy and 2 ms of step in 10 ms.
  EXPECT_NEAR(*Report(ProfiledStep::kReal).device_utilisation(), 0.3, 1e-9);
  // 8 ms are told to pass in each 10 ms.
  EXPECT_NEAR(*Report(ProfiledStep::kEmulated).device_utilisation(), 0.8, 1e-9);
}

TEST(ProfileTable, ShowsStagesRatesAndTheVerdict) {
  const ProfileReport report = Report(ProfiledStep::kReal);
  const std::string table = ProfileTable(report);
  EXPECT_THAT(table, HasSubstr("small: data/small on cpu:1, batches of 1 pictures of 32 x 24; 2 "
                               "workers, 4 slots, 2 cores\n"));
  for (std::size_t i = 0; i < kNumStages; ++i) {
    EXPECT_THAT(table, HasSubstr("\n" + std::string(StageName(static_cast<Stage>(i))) + " "));
  }
  EXPECT_THAT(table, HasSubstr("with the train step               100.0 images/s"));
  EXPECT_THAT(table, HasSubstr("feed alone                        100.0 images/s"));
  EXPECT_THAT(table, HasSubstr("train step alone                  100.0 images/s"));
  EXPECT_THAT(table, HasSubstr("\n4.0 MiB of memory: 1.0 MiB slots, 512.0 KiB batches of the "
                               "devices, 2.5 MiB all else; beside it 500.0 MiB of mapped files, "
                               "which the system takes back when it wants them\n"));
  EXPECT_THAT(
      table,
      HasSubstr(
          "\ndecoded: 7,000 on the GPU, 1,300 by the region decoder, 20 by libjpeg-turbo, 1 by "
          "libpng\n"));
  EXPECT_THAT(table, HasSubstr("97.7 KiB/s"));  // 1,000 bytes each 10 ms
  EXPECT_THAT(table, HasSubstr("\n" + report.verdict.sentence + "\n  " + report.verdict.advice));
}

TEST(ProfileTable, SaysNothingOfATrainStepThatThereIsNot) {
  const std::string table = ProfileTable(Report(ProfiledStep::kNone));
  EXPECT_THAT(table, AllOf(HasSubstr("feed alone"), Not(HasSubstr("with the train step")),
                           Not(HasSubstr("train step alone")), Not(HasSubstr("utilisation"))));
}

TEST(ProfileTable, EmulatedStepShowsAcceleratorUtilisation) {
  EXPECT_THAT(ProfileTable(Report(ProfiledStep::kEmulated)),
              HasSubstr("accelerator utilisation 80.0 % of emulated steps of 8 ms"));
}

TEST(ProfileJson, HoldsEveryMeasurementWithAllItsStages) {
  const ProfileReport report = Report(ProfiledStep::kReal);
  const Json json = Json::parse(ProfileJson(report));
  EXPECT_EQ(json["recipe"], "small");
  EXPECT_EQ(json["train_step"], "real");
  EXPECT_EQ(json["verdict"]["limit"], report.verdict.limit);
  EXPECT_EQ(json["verdict"]["sentence"], report.verdict.sentence);
  for (const char* name : {"with_train_step", "feed_alone", "train_step_alone"}) {
    EXPECT_NEAR(json[name]["images_per_s"].get<double>(), 100, 1e-6) << name;
    EXPECT_EQ(json[name]["stages"].size(), kNumStages) << name;
    EXPECT_NEAR(json[name]["stages"]["decode"]["mean_ms"].get<double>(), 2, 1e-9) << name;
    EXPECT_FALSE(json[name].contains("calls_not_kept")) << name;
    EXPECT_EQ(json[name]["slots"], 4) << name;
    EXPECT_EQ(json[name]["resident_bytes"], (Json{{"anonymous", 3 << 20},
                                                  {"shared", 1 << 20},
                                                  {"files", 500 << 20},
                                                  {"slots", 1 << 20},
                                                  {"lanes", 512 << 10}}))
        << name;
  }
  EXPECT_EQ(json["decoded"],
            (Json{{"gpu", 7000}, {"region", 1300}, {"libjpeg_turbo", 20}, {"libpng", 1}}));
  EXPECT_EQ(json["with_train_step"]["stages"]["read"]["bytes"], 10'000);
}

TEST(ProfileJson, WithoutATrainStepThereIsTheFeedAlone) {
  const Json json = Json::parse(ProfileJson(Report(ProfiledStep::kNone)));
  EXPECT_EQ(json["train_step"], "none");
  EXPECT_FALSE(json.contains("with_train_step"));
  EXPECT_FALSE(json.contains("train_step_alone"));
  EXPECT_FALSE(json.contains("device_utilisation"));
}

TEST(ProfileJson, AnyBytesInAPathLeaveItJson) {
  ProfileReport report = Report(ProfiledStep::kNone);
  report.dataset = "a\xff\"b";
  EXPECT_EQ(Json::parse(ProfileJson(report))["dataset"], "a\xEF\xBF\xBD\"b");
}

TEST(ProfilePage, ShowsVerdictRatesAndEveryStage) {
  const ProfileReport report = Report(ProfiledStep::kReal);
  const std::string page = ProfilePage(report);
  EXPECT_THAT(page, HasSubstr("<b>" + report.verdict.sentence + "</b>"));
  EXPECT_THAT(page, HasSubstr("<dt>with the train step</dt><dd>100 images/s</dd>"));
  EXPECT_THAT(page, HasSubstr("<dt>memory</dt><dd>4.0 MiB</dd>"));
  EXPECT_THAT(page, HasSubstr("<dt>mapped files</dt><dd>500.0 MiB</dd>"));
  EXPECT_THAT(page, HasSubstr("<dt>decoded by the region decoder</dt><dd>1,300 of 8,321</dd>"));
  for (std::size_t i = 0; i < kNumStages; ++i) {
    EXPECT_THAT(page, HasSubstr("<tr><td>" + std::string(StageName(static_cast<Stage>(i)))));
  }
  EXPECT_THAT(page, HasSubstr("<span>worker 0</span>"));
  EXPECT_THAT(page, HasSubstr("<span>lane 0</span>"));
  EXPECT_THAT(page, HasSubstr("decode, batch 3, sample 0: 2.000 ms"));
  EXPECT_THAT(page, HasSubstr("train_step, batch 3: 2.000 ms"));
}

TEST(ProfilePage, ShowsWhatOthersWroteAsText) {
  ProfileReport report = Report(ProfiledStep::kNone);
  report.recipe = "<script>alert(1)</script>";
  report.dataset = "\"><img src=x>";
  const std::string page = ProfilePage(report);
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<img src=x")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;"));
}

TEST(ProfilePage, TimeLineIsBoundedHoweverLongTheRun) {
  ProfileReport report = Report(ProfiledStep::kNone);
  const auto rects = [&] {
    const std::string page = ProfilePage(report);
    std::size_t count = 0;
    for (auto at = page.find("<rect"); at != std::string::npos; at = page.find("<rect", at + 1)) {
      ++count;
    }
    return count;
  };
  report.measured.feed = Measured(50);
  const std::size_t few = rects();
  report.measured.feed = Measured(2000);
  EXPECT_EQ(rects(), few);
  EXPECT_GT(few, 6 * kNumStages - 10);
}

Json ReadTrace(const std::filesystem::path& path) { return Json::parse(ReadFile(path)); }

TEST(ChromeTrace, HoldsEveryCallOfTheSpanOnItsThread) {
  const test::TemporaryFolder folder;
  const auto path = folder / "trace.json";
  const auto calls = Calls(10);
  WriteChromeTrace(path, calls, {.begin_ns = kOrigin, .end_ns = calls.back().end_ns});
  const Json trace = ReadTrace(path);
  std::map<std::string, int> names;
  std::map<int, std::string> threads;
  for (const Json& event : trace["traceEvents"]) {
    const std::string phase = event["ph"];
    if (phase == "M" && event["name"] == "thread_name") {
      threads[event["tid"]] = event["args"]["name"];
    } else if (phase == "X") {
      ++names[event["name"]];
      const std::string& thread = threads.at(event["tid"]);
      const bool is_lane = event["name"] == "copy" || event["name"] == "train_step";
      EXPECT_EQ(thread.substr(0, 4), is_lane ? "lane" : "work");
      EXPECT_GE(event["ts"].get<double>(), 0);
      if (event["name"] == "decode") {
        EXPECT_DOUBLE_EQ(event["dur"].get<double>(), 2000);  // [us]
        EXPECT_DOUBLE_EQ(event["ts"].get<double>(),
                         2000 + 10'000 * event["args"]["batch"].get<double>());
        EXPECT_EQ(event["args"]["sample"], 0);
      }
      if (event["name"] == "read") {
        EXPECT_EQ(event["args"]["bytes"], 1000);
      }
    }
  }
  EXPECT_EQ(names.size(), kNumStages);
  for (const auto& [name, count] : names) EXPECT_EQ(count, 10) << name;
  EXPECT_EQ(threads.size(), 3u);
}

TEST(ChromeTrace, CountersTellWhatWaits) {
  const test::TemporaryFolder folder;
  const auto calls = Calls(3);
  WriteChromeTrace(folder / "trace.json", calls, {kOrigin, calls.back().end_ns});
  std::map<std::string, std::vector<int>> counters;
  const Json trace = ReadTrace(folder / "trace.json");
  for (const Json& event : trace["traceEvents"]) {
    if (event["ph"] == "C") counters[event["name"]].push_back(event["args"]["count"]);
  }
  EXPECT_THAT(counters["batches in flight"], ElementsAre(1, 1, 1, 0));
  EXPECT_THAT(counters["batches ready"], ElementsAre(1, 0, 1, 0, 1, 0));
  EXPECT_THAT(counters["samples waiting"], ElementsAre(1, 0, 1, 0, 1, 0));
}

TEST(ChromeTrace, LongRunIsCutSoThatABrowserOpensIt) {
  const test::TemporaryFolder folder;
  const auto calls = Calls(1000);
  WriteChromeTrace(folder / "trace.json", calls, {kOrigin, calls.back().end_ns},
                   /*most_calls=*/100);
  const Json trace = ReadTrace(folder / "trace.json");
  const auto& events = trace["traceEvents"];
  EXPECT_EQ(std::count_if(events.begin(), events.end(),
                          [](const Json& event) { return event["ph"] == "X"; }),
            100);
}

TEST(ChromeTrace, FolderThatIsNotThereIsAnErrorWithItsName) {
  EXPECT_THAT(test::ErrorOf([] {
                WriteChromeTrace("/nowhere/trace.json", Calls(2), {0, 1});
              }),
              HasSubstr("/nowhere/trace.json"));
}

}  // namespace
}  // namespace millrace::pipeline
