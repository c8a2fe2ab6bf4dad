#include "pipeline/run_parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::pipeline {
namespace {

using testing::Contains;
using testing::Pair;
using Value = tracking::Parameters::Value;

TEST(RunParameters, EverySettingHasItsDottedNameAndType) {
  const test::TemporaryFolder folder;
  test::WriteText(folder / "recipe.toml", R"(
name = "small"
[data]
normalize = { mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25] }
[data.train]
split = "train"
ops = [ { op = "horizontal_flip" } ]
[batch]
per_device = 64
[model]
name = "resnet18"
[loss]
name = "cross_entropy"
[optimizer]
name = "sgd"
lr = 0.1
[schedule]
name = "constant"
[train]
epochs = 5
)");
  const Recipe recipe = Recipe::Load(folder / "recipe.toml", {"deterministic=true"});
  const auto values = RunParameters(recipe).values;
  EXPECT_TRUE(std::is_sorted(values.begin(), values.end()));
  EXPECT_THAT(values, Contains(Pair("name", Value("small"))));
  EXPECT_THAT(values, Contains(Pair("deterministic", Value(true))));
  EXPECT_THAT(values, Contains(Pair("batch.per_device", Value(64.0))));
  EXPECT_THAT(values, Contains(Pair("data.train.split", Value("train"))));
  EXPECT_THAT(values, Contains(Pair("data.normalize.mean", Value("[0.5,0.5,0.5]"))));
  // A default is a setting, too.
  EXPECT_THAT(values, Contains(Pair("train.log_every_steps", Value(10.0))));
}

}  // namespace
}  // namespace millrace::pipeline
