#include "pipeline/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "model/schedule.h"
#include "stages/transform.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
using test::UsageErrorOf;
using testing::HasSubstr;

std::vector<fs::path> Configs() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(MILLRACE_CONFIGS)) {
    if (entry.path().extension() == ".toml") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

class ConfigsTest : public testing::TestWithParam<fs::path> {};

TEST_P(ConfigsTest, IsCompleteAndEverySettingIsRead) {
  const Recipe recipe = Recipe::Load(GetParam(), {});
  EXPECT_NO_THROW(CheckRecipe(recipe));
  // A recipe is named as its file.
  EXPECT_EQ(recipe.name, GetParam().stem().string());
  EXPECT_TRUE(recipe.val) << "nothing would tell how good the training was";
}

TEST_P(ConfigsTest, EffectiveRecipeReadBackGivesItself) {
  const Recipe recipe = Recipe::Load(GetParam(), {});
  CheckRecipe(recipe);
  const test::TemporaryFolder folder;
  test::WriteText(folder / "config.toml", recipe.ToToml());
  const Recipe again = Recipe::Load(folder / "config.toml", {});
  CheckRecipe(again);
  EXPECT_EQ(again.ToToml(), recipe.ToToml());
}

INSTANTIATE_TEST_SUITE_P(All, ConfigsTest, testing::ValuesIn(Configs()), [](const auto& file) {
  std::string name = file.param.stem().string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
});

TEST(Configs, UnknownSettingInAnySectionIsRefused) {
  const fs::path config = fs::path(MILLRACE_CONFIGS) / "fashion-mnist-resnet18-cpu.toml";
  for (const char* section : {"", "data.", "data.train.", "data.train_eval.", "data.val.", "batch.",
                              "model.", "loss.", "optimizer.", "schedule.", "precision.", "train.",
                              "checkpoint.", "pipeline.", "tracking."}) {
    const std::string key = std::string(section) + "unheard_of";
    EXPECT_THAT(UsageErrorOf([&] { CheckRecipe(Recipe::Load(config, {key + "=1"})); }),
                HasSubstr(": " + key + ": is not a setting that is read here"));
  }
}

TEST(Configs, DeliverPicturesOfTheSizesInTheirNames) {
  struct Sizes {
    int train;
    int val;
  };
  std::map<std::string, Sizes> found;
  for (const fs::path& path : Configs()) {
    const Recipe recipe = Recipe::Load(path, {});
    const stages::Size train =
        stages::Transform(recipe.train.ops, recipe.known->operations).output_size();
    const stages::Size val =
        stages::Transform(recipe.val->ops, recipe.known->operations).output_size();
    EXPECT_EQ(train.width, train.height) << path;
    EXPECT_EQ(val.width, val.height) << path;
    found[recipe.name] = {train.width, val.width};
  }
  const std::map<std::string, Sizes> wanted = {{"baseline_resnet50", {224, 320}},
                                               {"check_baseline_resnet50", {224, 320}},
                                               {"fashion-mnist-resnet18-cpu", {56, 56}},
                                               {"imagenet-resnet50", {224, 224}},
                                               {"imagenet-resnet50-ffcv-16-8xa100", {192, 256}},
                                               {"imagenet-resnet50-ffcv-88-8xa100", {192, 256}},
                                               {"imagenet-resnet50-mosaic-mild-8xa100", {176, 224}},
                                               {"imagenet-resnet50-torchvision-8xv100", {176, 224}},
                                               {"imagenette-resnet18-64px-cpu", {64, 64}},
                                               {"imagenette-resnet18-half-64px-cpu", {64, 64}}};
  for (const auto& [name, sizes] : wanted) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_EQ(found[name].train, sizes.train) << name;
    EXPECT_EQ(found[name].val, sizes.val) << name;
  }
}

// assets/agg.csv of libffcv/ffcv-imagenet (commit 4dd291a) has the rate of each epoch's last step.
TEST(Configs, FfcvRatesOfLearningAreThoseOfItsLog) {
  constexpr std::int64_t kImages = 1281167;
  const Recipe recipe =
      Recipe::Load(fs::path(MILLRACE_CONFIGS) / "imagenet-resnet50-ffcv-16-8xa100.toml", {});
  const std::int64_t steps = kImages / recipe.params.Section("batch").Integer("global");
  const auto schedule =
      model::MakeSchedule(recipe.params.Section("schedule"),
                          recipe.params.Section("optimizer").Number("lr"), steps, 16 * steps);
  const std::map<int, double> log = {{1, 0.8473609134615385},
                                     {2, 1.697275913461538},
                                     {3, 1.578960622710622},
                                     {16, 0.000389194139194}};
  for (const auto& [epoch, rate] : log) {
    EXPECT_NEAR(schedule->LearningRateAt(epoch * steps - 1), rate, 1e-14) << epoch;
  }
}

}  // namespace
}  // namespace millrace::pipeline
