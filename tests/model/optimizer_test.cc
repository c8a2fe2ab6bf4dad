#include "model/optimizer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "base/error.h"

namespace millrace::model {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Optimizer> Make(const std::string& json, std::span<const NamedTensor> parameters) {
  const Params params = Params::FromJson(json, "recipe.toml: optimizer");
  auto optimizer = MakeOptimizer(params, parameters);
  params.RefuseUnknown();
  return optimizer;
}

std::string ErrorOf(const std::string& json) {
  try {
    Make(json, {});
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
    return error.what();
  }
  return "";
}

// A convolution's weight in channels-last memory, and a bias.
std::vector<NamedTensor> MakeParameters() {
  return {
      {"conv.weight",
       at::randn({4, 3, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast).set_requires_grad(true)},
      {"bias", at::randn({4}).set_requires_grad(true)}};
}

// Sets the gradients to what a network might give.
void DrawGradients(const std::vector<NamedTensor>& parameters) {
  for (const NamedTensor& p : parameters) p.tensor.grad().copy_(at::randn(p.tensor.sizes()));
}

struct SgdCase {
  const char* json;
  double momentum;
  bool nesterov;
  double weight_decay;
  bool decay_bias;
};

class SgdFormula : public ::testing::TestWithParam<SgdCase> {};

// The update rule in the words of torch.optim.SGD's documentation.
TEST_P(SgdFormula, HoldsOverManySteps) {
  const SgdCase& c = GetParam();
  const std::vector<NamedTensor> parameters = MakeParameters();
  const auto optimizer = Make(c.json, parameters);
  std::vector<at::Tensor> wanted, buffers;
  for (const NamedTensor& p : parameters) {
    wanted.push_back(p.tensor.detach().to(at::kDouble));
    buffers.push_back(at::zeros_like(wanted.back()));
  }
  const c10::NoGradGuard no_grad;
  for (int step = 0; step < 10; ++step) {
    const double lr = 0.1 / (1 + step);
    DrawGradients(parameters);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const double decay = c.decay_bias || wanted[i].dim() > 1 ? c.weight_decay : 0;
      at::Tensor gradient = parameters[i].tensor.grad().to(at::kDouble) + decay * wanted[i];
      buffers[i] = c.momentum * buffers[i] + gradient;
      if (c.momentum != 0) {
        gradient = c.nesterov ? gradient + c.momentum * buffers[i] : buffers[i];
      }
      wanted[i] -= lr * gradient;
    }
    optimizer->SetLearningRate(lr);
    optimizer->Step();
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_TRUE(at::allclose(parameters[i].tensor.to(at::kDouble), wanted[i], 1e-5, 1e-5)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Sgd, SgdFormula,
    ::testing::Values(SgdCase{R"({"name": "sgd", "lr": 0.1})", 0, false, 0, true},
                      SgdCase{R"({"name": "sgd", "lr": 0.1, "weight_decay": 0.1})", 0, false, 0.1,
                              true},
                      SgdCase{R"({"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1})",
                              0.9, false, 0.1, true},
                      SgdCase{R"({"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": true,
                    "weight_decay": 0.1, "decay_norm_and_bias": false})",
                              0.9, true, 0.1, false}));

TEST(Optimizer, ZeroedGradientsStayWhereTheyAre) {
  const std::vector<NamedTensor> parameters = MakeParameters();
  const auto optimizer = Make(R"({"name": "sgd", "lr": 0.1})", parameters);
  const void* place = parameters[0].tensor.grad().const_data_ptr();
  (parameters[0].tensor.sum() + parameters[1].tensor.sum()).backward();
  EXPECT_TRUE(at::equal(parameters[0].tensor.grad(), at::ones({4, 3, 3, 3})));
  optimizer->ZeroGradients();
  EXPECT_TRUE(at::equal(parameters[0].tensor.grad(), at::zeros({4, 3, 3, 3})));
  EXPECT_TRUE(at::equal(parameters[1].tensor.grad(), at::zeros({4})));
  (parameters[0].tensor.sum() + parameters[1].tensor.sum()).backward();
  EXPECT_EQ(parameters[0].tensor.grad().const_data_ptr(), place);
  EXPECT_EQ(parameters[0].tensor.grad().strides(), parameters[0].tensor.strides());
}

// Every optimizer with whatever state it can have.
class EveryOptimizer : public ::testing::TestWithParam<const char*> {};

TEST_P(EveryOptimizer, RestoredStateContinuesBitForBit) {
  const std::vector<NamedTensor> first = MakeParameters();
  const auto optimizer = Make(GetParam(), first);
  for (const double rate : {0.1, 0.2}) {
    DrawGradients(first);
    optimizer->SetLearningRate(rate);
    optimizer->Step();
  }
  std::vector<NamedTensor> second;
  for (const NamedTensor& p : first) {
    second.push_back({p.name, p.tensor.detach().clone().set_requires_grad(true)});
  }
  const auto restored = Make(GetParam(), second);
  restored->LoadState(optimizer->StateTensors());
  DrawGradients(first);
  for (std::size_t i = 0; i < first.size(); ++i) {
    second[i].tensor.grad().copy_(first[i].tensor.grad());
  }
  for (const auto& each : {optimizer.get(), restored.get()}) {
    each->SetLearningRate(0.05);
    each->Step();
  }
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_TRUE(at::equal(first[i].tensor, second[i].tensor)) << i;
  }
}

TEST_P(EveryOptimizer, OverflowInAnyStepLeavesNoTrace) {
  const std::vector<NamedTensor> parameters = MakeParameters();
  const auto optimizer = Make(GetParam(), parameters);
  const auto all = [&] {
    std::vector<at::Tensor> copies;
    for (const auto& list : {parameters, optimizer->StateTensors()}) {
      for (const NamedTensor& entry : list) copies.push_back(entry.tensor.detach().clone());
    }
    return copies;
  };
  for (const bool overflows : {true, false, true}) {
    DrawGradients(parameters);
    if (overflows) parameters[0].tensor.grad()[1].fill_(std::numeric_limits<float>::infinity());
    const std::vector<at::Tensor> before = all();
    optimizer->Step(at::full({}, overflows ? 1.0 : 0.0));
    const std::vector<at::Tensor> after = all();
    for (std::size_t i = 0; i < after.size(); ++i) {
      EXPECT_EQ(at::equal(before[i], after[i]), overflows) << i;
      EXPECT_TRUE(at::isfinite(after[i]).all().item<bool>()) << i;
    }
  }
}

TEST_P(EveryOptimizer, GradientsStayAsTheyWere) {
  const std::vector<NamedTensor> parameters = MakeParameters();
  const auto optimizer = Make(GetParam(), parameters);
  DrawGradients(parameters);
  const at::Tensor gradient = parameters[0].tensor.grad().clone();
  optimizer->Step();
  EXPECT_TRUE(at::equal(parameters[0].tensor.grad(), gradient));
}

INSTANTIATE_TEST_SUITE_P(
    Optimizer, EveryOptimizer,
    ::testing::Values(
        R"({"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": true, "weight_decay": 0.1,
            "decay_norm_and_bias": false})",
        R"({"name": "adamw", "lr": 0.1, "decay_norm_and_bias": false})",
        R"({"name": "lars", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "trust_clip": true,
            "decay_norm_and_bias": false})",
        R"({"name": "lamb", "lr": 0.1, "decay_norm_and_bias": false})"));

TEST(Optimizer, ClippedGradientHasTheNormAndItsDirection) {
  const std::vector<NamedTensor> parameters = MakeParameters();
  const auto optimizer = Make(R"({"name": "sgd", "lr": 0.1, "clip_norm": 2})", parameters);
  const auto gradient = [&] {
    return at::cat({parameters[0].tensor.grad().flatten(), parameters[1].tensor.grad().flatten()});
  };
  DrawGradients(parameters);
  const at::Tensor drawn = gradient();
  const at::Tensor norm = drawn.norm();
  ASSERT_GT(norm.item<double>(), 2);
  optimizer->Step();
  EXPECT_TRUE(at::allclose(gradient(), drawn * (2 / norm)));
  // What is short enough stays.
  for (const NamedTensor& p : parameters) p.tensor.grad().fill_(0.01);
  optimizer->Step();
  EXPECT_TRUE(at::equal(gradient(), at::full_like(drawn, 0.01)));
}

TEST(Optimizer, StateOfAnotherIsRefusedAndNothingChanges) {
  const std::vector<NamedTensor> parameters = MakeParameters();
  const auto optimizer = Make(R"({"name": "sgd", "lr": 0.1, "momentum": 0.9})", parameters);
  DrawGradients(parameters);
  optimizer->SetLearningRate(0.1);
  optimizer->Step();
  const at::Tensor before = optimizer->StateTensors()[0].tensor.clone();
  const std::vector<NamedTensor> other = {{"conv.weight.momentum_buffer", at::ones({4, 3, 3, 3})},
                                          {"bias.momentum_buffer", at::ones({5})},
                                          {"head.momentum_buffer", at::ones({5})}};
  try {
    optimizer->LoadState(other);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("unexpected: head.momentum_buffer"));
    EXPECT_THAT(error.what(), HasSubstr("bias.momentum_buffer is [5], needed is [4]"));
  }
  EXPECT_TRUE(at::equal(optimizer->StateTensors()[0].tensor, before));
}

TEST(Optimizer, WrongSettingsAreNamed) {
  EXPECT_THAT(ErrorOf(R"({"name": "sgd"})"), HasSubstr("lr: is missing"));
  EXPECT_THAT(ErrorOf(R"({"name": "sdg", "lr": 1})"), HasSubstr("must be one of sgd, adamw"));
  EXPECT_THAT(ErrorOf(R"({"name": "sgd", "lr": -1})"), HasSubstr("lr: is -1"));
  EXPECT_THAT(ErrorOf(R"({"name": "sgd", "lr": 1, "nesterov": true})"),
              HasSubstr("nesterov: needs momentum > 0"));
  EXPECT_THAT(ErrorOf(R"({"name": "sgd", "lr": 1, "decay_norm_and_bias": false})"),
              HasSubstr("has no effect without weight_decay"));
  EXPECT_THAT(ErrorOf(R"({"name": "sgd", "lr": 1, "betas": [0, 1]})"), HasSubstr("betas"));
  EXPECT_THAT(ErrorOf(R"({"name": "sgd", "lr": 1, "clip_norm": -1})"),
              HasSubstr("clip_norm: is -1"));
  EXPECT_THAT(ErrorOf(R"({"name": "adamw", "lr": 1, "momentum": 0.9})"), HasSubstr("momentum"));
  for (const char* betas : {"[0.9]", "[0.9, 1]", "[-0.1, 0.9]"}) {
    EXPECT_THAT(ErrorOf(fmt::format(R"({{"name": "adamw", "lr": 1, "betas": {}}})", betas)),
                HasSubstr("betas: must be two numbers from 0 to below 1"));
  }
  EXPECT_THAT(ErrorOf(R"({"name": "lars", "lr": 1})"),
              HasSubstr("weight_decay: must be above 0 for lars, which without it is sgd"));
  EXPECT_THAT(ErrorOf(R"({"name": "lamb", "lr": 1, "weight_decay": 0})"),
              HasSubstr("weight_decay: must be above 0 for lamb"));
}

}  // namespace
}  // namespace millrace::model
