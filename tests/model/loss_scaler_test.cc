#include "model/loss_scaler.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/optimizer.h"

namespace millrace::model {
namespace {

constexpr LossScaler::Settings kSettings{.initial_scale = 1024, .growth_interval = 3};

double ScaleOf(const LossScaler& scaler) { return scaler.StateTensors()[0].tensor.item<double>(); }

TEST(LossScaler, GradientsOfTheScaledLossComeBackToTheirSize) {
  const at::Tensor weight = at::full({4}, 3.0).set_requires_grad(true);
  LossScaler scaler(at::kCPU, kSettings);
  scaler.Scale((weight * weight).sum()).backward();
  EXPECT_TRUE(at::equal(weight.grad(), at::full({4}, 6.0 * 1024)));
  scaler.Unscale(std::vector{weight.grad()});
  EXPECT_TRUE(at::equal(weight.grad(), at::full({4}, 6.0)));
  EXPECT_EQ(scaler.found_inf().item<float>(), 0);
}

TEST(LossScaler, OverflowHalvesTheScaleAndStepsWithoutDoubleIt) {
  LossScaler scaler(at::kCPU, kSettings);
  std::vector<double> scales;
  for (const bool overflows :
       {false, false, false, false, true, false, false, true, false, false, false}) {
    const at::Tensor gradient = at::ones({2});
    if (overflows) gradient[1] = std::numeric_limits<float>::infinity();
    scaler.Unscale(std::vector{at::ones({3}), gradient});
    EXPECT_EQ(scaler.found_inf().item<float>(), overflows ? 1 : 0);
    scaler.Update();
    scales.push_back(ScaleOf(scaler));
  }
  EXPECT_THAT(scales,
              testing::ElementsAre(1024, 1024, 2048, 2048, 1024, 1024, 1024, 512, 512, 512, 1024));
}

TEST(LossScaler, OverflowLeavesWeightsAndMomentumAsTheyWere) {
  const std::vector<NamedTensor> parameters = {
      {"weight", at::ones({2, 2}).set_requires_grad(true)}};
  const auto optimizer = MakeOptimizer(
      Params::FromJson(R"({"name": "sgd", "lr": 0.5, "momentum": 0.9})", "optimizer"), parameters);
  LossScaler scaler(at::kCPU, kSettings);
  const auto step = [&](double gradient) {
    parameters[0].tensor.grad().fill_(gradient * 1024);
    scaler.Unscale(std::vector{parameters[0].tensor.grad()});
    optimizer->Step(scaler.found_inf());
  };
  step(1);
  EXPECT_TRUE(at::equal(parameters[0].tensor, at::full({2, 2}, 0.5)));
  for (const double bad :
       {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    step(bad);
    EXPECT_TRUE(at::equal(parameters[0].tensor, at::full({2, 2}, 0.5)));
    EXPECT_TRUE(at::equal(optimizer->StateTensors()[0].tensor, at::ones({2, 2})));
  }
  step(0);
  EXPECT_TRUE(at::allclose(parameters[0].tensor, at::full({2, 2}, 0.05)));
}

TEST(LossScaler, RestoredStateGoesOnCounting) {
  LossScaler scaler(at::kCPU, kSettings);
  for (int i = 0; i < 2; ++i) {
    scaler.Unscale(std::vector{at::ones({1})});
    scaler.Update();
  }
  LossScaler restored(at::kCPU, kSettings);
  restored.LoadState(scaler.StateTensors());
  restored.Unscale(std::vector{at::ones({1})});
  restored.Update();
  EXPECT_EQ(ScaleOf(restored), 2048);
  try {
    restored.LoadState(std::vector<NamedTensor>{{"scale", at::ones({})}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "the loss scaler's state does not fit: missing: growth_tracker");
  }
}

}  // namespace
}  // namespace millrace::model
