#include "pipeline/step_check.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>

#include "model/loss.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "stages/train_step.h"

namespace millrace::pipeline {
namespace {

using testing::MatchesRegex;
using testing::StartsWith;

// Steps of one network from one state, done in several ways.
class CompareStepsTest : public testing::Test {
 protected:
  CompareStepsTest() {
    for (const auto& entry : network_->state()) state_.push_back(entry.tensor);
    for (const auto& entry : optimizer_->StateTensors()) state_.push_back(entry.tensor);
    Step(Batch(1), 0.05);  // momentum is there
    before_ = Copies();
  }

  static stages::DeviceBatch Batch(std::int64_t seed) {
    const at::Tensor images = at::arange(8 * 3 * 32 * 32, at::kFloat)
                                  .mul_(0.37 * static_cast<double>(seed))
                                  .sin_()
                                  .view({8, 3, 32, 32});
    return {.images = images, .labels = at::arange(8, at::kLong).remainder(3)};
  }

  double Step(const stages::DeviceBatch& batch, double rate) {
    optimizer_->ZeroGradients();
    const at::Tensor loss =
        stages::AccumulateGradients(*network_, *loss_, model::Amp::kOff, nullptr, batch, 1.0);
    optimizer_->SetLearningRate(rate);
    optimizer_->Step();
    return loss.item<double>();
  }

  StepOutcome Outcome(const stages::DeviceBatch& batch, double rate) {
    Restore();
    const double loss = Step(batch, rate);
    return {.loss = loss, .state = Copies()};
  }

  void Restore() {
    const c10::NoGradGuard no_grad;
    for (std::size_t i = 0; i < state_.size(); ++i) state_[i].copy_(before_[i]);
  }

  std::vector<at::Tensor> Copies() const {
    std::vector<at::Tensor> copies;
    for (const at::Tensor& tensor : state_) copies.push_back(tensor.detach().clone());
    return copies;
  }

  std::unique_ptr<model::Network> network_ =
      model::MakeNetwork(Params::FromJson(R"({"name": "resnet18", "width": 8})", "model"), 3, 1);
  std::unique_ptr<model::Optimizer> optimizer_ = model::MakeOptimizer(
      Params::FromJson(R"({"name": "sgd", "lr": 0.1, "momentum": 0.9})", "optimizer"),
      network_->parameters());
  std::unique_ptr<model::Loss> loss_ = model::MakeLoss(Params("loss"));
  std::vector<at::Tensor> state_;
  std::vector<at::Tensor> before_;
};

TEST_F(CompareStepsTest, TheSameStepIsTheSame) {
  const StepOutcome wanted = Outcome(Batch(2), 0.05);
  for (const bool exact : {true, false}) {
    EXPECT_EQ(CompareSteps(before_, wanted, Outcome(Batch(2), 0.05), exact), "");
  }
}

TEST_F(CompareStepsTest, LastBitsCountOnlyInDeterministicRuns) {
  const StepOutcome wanted = Outcome(Batch(2), 0.05);
  StepOutcome noisy = wanted;
  for (std::size_t i = 0; i < noisy.state.size(); ++i) {
    if (!noisy.state[i].is_floating_point()) continue;
    noisy.state[i] = wanted.state[i] + 0.01 * (wanted.state[i] - before_[i]);
  }
  EXPECT_EQ(CompareSteps(before_, wanted, noisy, false), "");
  EXPECT_EQ(CompareSteps(before_, wanted, noisy, true),
            "its weights differ, and the run is to be deterministic");
  noisy = wanted;
  noisy.loss *= 1 + 1e-5;
  EXPECT_EQ(CompareSteps(before_, wanted, noisy, false), "");
  EXPECT_THAT(CompareSteps(before_, wanted, noisy, true), StartsWith("its loss is "));
}

TEST_F(CompareStepsTest, StaleRateIsSeen) {
  const StepOutcome wanted = Outcome(Batch(2), 0.05);
  for (const double rate : {0.0, 0.04, 0.1}) {
    EXPECT_THAT(CompareSteps(before_, wanted, Outcome(Batch(2), rate), false),
                MatchesRegex("its changes are [0-9]+ % off"))
        << rate;
  }
}

TEST_F(CompareStepsTest, StaleBatchIsSeen) {
  EXPECT_THAT(CompareSteps(before_, Outcome(Batch(2), 0.05), Outcome(Batch(3), 0.05), false),
              MatchesRegex("its loss is [0-9.]+ instead of [0-9.]+"));
}

TEST_F(CompareStepsTest, StepThatDoesNothingIsSeen) {
  const StepOutcome wanted = Outcome(Batch(2), 0.05);
  EXPECT_EQ(CompareSteps(before_, wanted, {.loss = wanted.loss, .state = before_}, false),
            "it counts otherwise");
}

TEST_F(CompareStepsTest, WhatIsNoNumberIsSeen) {
  const StepOutcome wanted = Outcome(Batch(2), 0.05);
  StepOutcome bad = wanted;
  bad.loss = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(CompareSteps(before_, wanted, bad, false), StartsWith("its loss is nan"));
  bad = wanted;
  for (at::Tensor& tensor : bad.state) {
    if (tensor.is_floating_point()) tensor = tensor * bad.loss / 0.0 * 0.0;
  }
  EXPECT_EQ(CompareSteps(before_, wanted, bad, false), "its changes are 100 % off");
}

}  // namespace
}  // namespace millrace::pipeline
