#include "model/weight_average.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace millrace::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::unique_ptr<Network> MakeNarrow(std::uint64_t seed) {
  return MakeNetwork(Params::FromJson(R"({"name": "resnet18", "width": 8})", "model"), 3, seed);
}

// A network all of whose numbers are the same one, and the mean that follows it.
class Followed {
 public:
  Followed(double decay, std::int64_t every_steps, std::int64_t steps_per_epoch,
           std::int64_t warmup_steps)
      : average_({.decay = decay, .every_steps = every_steps}, steps_per_epoch, warmup_steps,
                 *network_, MakeNarrow(2)) {}

  // What the mean is after each step, when the weights are 1, 2, 3, ... after the steps.
  std::vector<double> After(std::int64_t steps) {
    const c10::NoGradGuard no_grad;
    std::vector<double> means;
    for (std::int64_t step = 0; step < steps; ++step) {
      for (const NamedTensor& entry : network_->state()) {
        entry.tensor.fill_(static_cast<double>(step + 1));
      }
      average_.Follow(step);
      const at::Tensor mean = average_.network().parameters()[0].tensor;
      for (const NamedTensor& entry : average_.network().state()) {
        if (!entry.tensor.is_floating_point()) continue;
        EXPECT_EQ(entry.tensor.min().item<double>(), mean.max().item<double>()) << entry.name;
      }
      means.push_back(mean.max().item<double>());
    }
    return means;
  }

  std::unique_ptr<Network> network_ = MakeNarrow(1);
  WeightAverage average_;
};

TEST(WeightAverage, BeginsWithTheWeightsAndFollowsThemSlowly) {
  EXPECT_THAT(Followed(0.5, 1, 10, 0).After(4), ElementsAre(1, 1.5, 2.25, 3.125));
}

TEST(WeightAverage, UpdatesCountFromTheFirstStepOfEachEpoch) {
  // Epochs of 3 steps: steps 0, 2, 3, 5, 6, ...
  EXPECT_THAT(Followed(0.5, 2, 3, 0).After(7), ElementsAre(1, 1, 2, 3, 3, 4.5, 5.75));
}

TEST(WeightAverage, IsACopyWhileTheRateWarmsUpAndInTheNextUpdate) {
  // A warm-up that ends within the second epoch: the whole epoch counts, as in torchvision.
  EXPECT_THAT(Followed(0.5, 1, 2, 3).After(6), ElementsAre(1, 2, 3, 4, 5, 5.5));
}

TEST(WeightAverage, CountsOfBatchesAreCopied) {
  Followed followed(0.5, 1, 10, 0);
  followed.After(4);
  for (const NamedTensor& entry : followed.average_.network().buffers()) {
    if (entry.tensor.is_floating_point()) continue;
    EXPECT_EQ(entry.tensor.item<std::int64_t>(), 4) << entry.name;
  }
}

TEST(WeightAverage, StartsAsTheNetworkThatItFollows) {
  Followed followed(0.5, 1, 10, 0);
  for (std::size_t i = 0; i < followed.network_->state().size(); ++i) {
    EXPECT_TRUE(at::equal(followed.network_->state()[i].tensor,
                          followed.average_.network().state()[i].tensor));
  }
}

std::string ErrorOf(const std::string& json) {
  try {
    ReadWeightAverage(Params::FromJson(json, "recipe.toml: model"));
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
    return error.what();
  }
  return "";
}

TEST(WeightAverage, IsThereWhereTheRecipeWantsOne) {
  EXPECT_FALSE(ReadWeightAverage(Params("model")));
  const auto settings =
      ReadWeightAverage(Params::FromJson(R"({"ema_decay": 0.99, "ema_every_steps": 32})", "model"));
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->decay, 0.99);
  EXPECT_EQ(settings->every_steps, 32);
}

TEST(WeightAverage, WrongSettingsAreNamed) {
  EXPECT_THAT(ErrorOf(R"({"ema_decay": 1})"),
              HasSubstr("ema_decay: is 1, with which the average never changes"));
  EXPECT_THAT(ErrorOf(R"({"ema_decay": 1.5})"), HasSubstr("ema_decay: is 1.5"));
  EXPECT_THAT(ErrorOf(R"({"ema_every_steps": 2})"),
              HasSubstr("ema_every_steps: has no effect without ema_decay"));
  EXPECT_THAT(ErrorOf(R"({"ema_decay": 0.9, "ema_every_steps": 0})"),
              HasSubstr("ema_every_steps: is 0"));
}

}  // namespace
}  // namespace millrace::model
