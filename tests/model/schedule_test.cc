#include "model/schedule.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <string>

#include "base/error.h"

namespace millrace::model {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Schedule> Make(const std::string& json, double lr, std::int64_t steps_per_epoch,
                               std::int64_t total) {
  const Params params = Params::FromJson(json, "recipe.toml: schedule");
  auto schedule = MakeSchedule(params, lr, steps_per_epoch, total);
  params.RefuseUnknown();
  return schedule;
}

std::string ErrorOf(const std::string& json) {
  try {
    Make(json, 0.1, 10, 100);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
    return error.what();
  }
  return "";
}

TEST(Schedule, EmptySectionIsConstant) {
  const auto schedule = Make("{}", 0.25, 10, 100);
  for (const int step : {0, 1, 99, 1000}) EXPECT_EQ(schedule->LearningRateAt(step), 0.25);
}

TEST(Schedule, CosineIsHalfACosine) {
  const auto schedule = Make(R"({"name": "cosine", "min_lr": 0.02})", 0.1, 10, 100);
  for (int step = 0; step < 100; ++step) {
    EXPECT_DOUBLE_EQ(schedule->LearningRateAt(step),
                     0.02 + 0.08 * (1 + std::cos(std::numbers::pi * step / 100)) / 2);
  }
}

TEST(Schedule, CosineDescendsFromTheEndOfTheWarmup) {
  const auto schedule =
      Make(R"({"name": "cosine", "warmup_epochs": 2, "warmup_factor": 0.5})", 0.1, 10, 100);
  EXPECT_DOUBLE_EQ(schedule->LearningRateAt(0), 0.05);
  EXPECT_DOUBLE_EQ(schedule->LearningRateAt(10), 0.075);
  EXPECT_DOUBLE_EQ(schedule->LearningRateAt(20), 0.1);
  EXPECT_DOUBLE_EQ(schedule->LearningRateAt(60), 0.05);
}

TEST(Schedule, PolynomialDescendsFromTheEndOfTheWarmup) {
  const auto schedule =
      Make(R"({"name": "polynomial", "power": 2, "warmup_epochs": 2})", 0.1, 10, 100);
  EXPECT_DOUBLE_EQ(schedule->LearningRateAt(0), 0.001);
  EXPECT_DOUBLE_EQ(schedule->LearningRateAt(20), 0.1);
  EXPECT_DOUBLE_EQ(schedule->LearningRateAt(60), 0.1 * 0.5 * 0.5);
  EXPECT_DOUBLE_EQ(schedule->LearningRateAt(99), 0.1 * 0.0125 * 0.0125);
}

TEST(Schedule, MultiStepDropsAtFractionsOfEpochs) {
  const auto schedule =
      Make(R"({"name": "multi_step", "milestones": [1, 2.5, 500], "gamma": 0.5})", 0.8, 10, 100);
  EXPECT_EQ(schedule->LearningRateAt(9), 0.8);
  EXPECT_EQ(schedule->LearningRateAt(10), 0.4);
  EXPECT_EQ(schedule->LearningRateAt(24), 0.4);
  EXPECT_EQ(schedule->LearningRateAt(25), 0.2);
  EXPECT_EQ(schedule->LearningRateAt(99), 0.2);
}

TEST(Schedule, OneCycleStartsPeaksAndEndsWhereItShould) {
  const auto schedule = Make(R"({"name": "one_cycle"})", 0.1, 10, 100);
  EXPECT_DOUBLE_EQ(schedule->LearningRateAt(0), 0.1 / 25);
  EXPECT_DOUBLE_EQ(schedule->LearningRateAt(29), 0.1);  // 0.3 * 100 - 1
  EXPECT_DOUBLE_EQ(schedule->LearningRateAt(99), 0.1 / 25 / 1e4);
  for (int step = 1; step < 100; ++step) {
    const bool rises = schedule->LearningRateAt(step) > schedule->LearningRateAt(step - 1);
    EXPECT_EQ(rises, step <= 29) << step;
  }
}

TEST(Schedule, StepsPastTheEndKeepTheLastRate) {
  for (const char* name : {"constant", "cosine", "polynomial", "one_cycle"}) {
    const auto schedule = Make(fmt::format(R"({{"name": "{}"}})", name), 0.1, 10, 100);
    EXPECT_EQ(schedule->LearningRateAt(1000), schedule->LearningRateAt(99)) << name;
  }
}

TEST(Schedule, EveryRateOfEveryShortRunIsSane) {
  for (std::int64_t total = 1; total <= 12; ++total) {
    for (const char* json :
         {R"({"name": "one_cycle"})", R"({"name": "one_cycle", "pct_start": 0})",
          R"({"name": "one_cycle", "pct_start": 1})", R"({"name": "one_cycle", "pct_start": 0.5})",
          R"({"name": "cosine"})", R"({"name": "polynomial"})",
          R"({"name": "multi_step", "milestones": [1]})"}) {
      const auto schedule = Make(json, 0.1, 3, total);
      for (std::int64_t step = 0; step < total; ++step) {
        const double rate = schedule->LearningRateAt(step);
        EXPECT_TRUE(rate >= 0 && rate <= 0.1) << json << " " << step << " of " << total;
      }
    }
  }
}

TEST(Schedule, SettingWithoutEffectIsRefused) {
  EXPECT_THAT(ErrorOf(R"({"name": "one_cycle", "warmup_epochs": 1})"),
              HasSubstr("warmup_epochs: has no effect on one_cycle"));
  EXPECT_THAT(ErrorOf(R"({"name": "cosine", "warmup_factor": 0.1})"),
              HasSubstr("has no effect without warmup_epochs"));
  EXPECT_THAT(ErrorOf(R"({"name": "constant", "gamma": 0.1})"), HasSubstr("gamma"));
}

TEST(Schedule, WrongValuesAreNamed) {
  EXPECT_THAT(ErrorOf(R"({"name": "cosin"})"), HasSubstr("did you mean \"cosine\"?"));
  EXPECT_THAT(ErrorOf(R"({"name": "multi_step"})"), HasSubstr("milestones: is missing"));
  EXPECT_THAT(ErrorOf(R"({"name": "multi_step", "milestones": [3, 2]})"), HasSubstr("ascend"));
  EXPECT_THAT(ErrorOf(R"({"name": "multi_step", "milestones": [0]})"), HasSubstr("epochs > 0"));
  EXPECT_THAT(ErrorOf(R"({"name": "multi_step", "milestones": [1], "warmup_epochs": 2})"),
              HasSubstr("within the warm-up"));
  EXPECT_THAT(ErrorOf(R"({"warmup_epochs": 10})"), HasSubstr("the whole run has 100"));
  EXPECT_THAT(ErrorOf(R"({"name": "cosine", "min_lr": 0.2})"), HasSubstr("between 0 and 0.1"));
}

}  // namespace
}  // namespace millrace::model
