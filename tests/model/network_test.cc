#include "model/network.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "model/loss.h"
#include "model/resnet.h"

namespace millrace::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::unique_ptr<Network> Make(const std::string& json, std::int64_t classes = 10,
                              std::uint64_t seed = 0) {
  const Params params = Params::FromJson(json, "recipe.toml: model");
  auto network = MakeNetwork(params, classes, seed);
  params.RefuseUnknown();
  return network;
}

TEST(Network, UnknownNameIsAnErrorThatListsTheKnownOnes) {
  try {
    Make(R"({"name": "resnet81"})");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("name: is \"resnet81\""), HasSubstr("resnet50, resnet101"),
                      HasSubstr("did you mean \"resnet18\"?")));
  }
}

TEST(Network, StateIsInTorchvisionsOrder) {
  const auto network = Make(R"({"name": "resnet18"})");
  const auto& state = network->state();
  EXPECT_EQ(state.size(), 122u);
  EXPECT_EQ(network->parameters().size(), 62u);
  EXPECT_EQ(network->buffers().size(), 60u);
  const std::vector<std::string> first = {
      "conv1.weight",         "bn1.weight",      "bn1.bias",
      "bn1.running_mean",     "bn1.running_var", "bn1.num_batches_tracked",
      "layer1.0.conv1.weight"};
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_EQ(state[i].name, first[i]);
  EXPECT_EQ(state.back().name, "fc.bias");
  EXPECT_EQ(state[5].tensor.scalar_type(), at::kLong);
}

TEST(Network, WeightsDependOnTheSeedAlone) {
  const auto first = Make(R"({"name": "resnet18"})", 10, 5);
  at::randn({100});
  const auto second = Make(R"({"name": "resnet18"})", 10, 5);
  const auto other = Make(R"({"name": "resnet18"})", 10, 6);
  for (std::size_t i = 0; i < first->state().size(); ++i) {
    EXPECT_TRUE(at::equal(first->state()[i].tensor, second->state()[i].tensor));
  }
  EXPECT_FALSE(at::equal(first->state()[0].tensor, other->state()[0].tensor));
}

TEST(Network, ConvolutionsAreChannelsLast) {
  const auto network = Make(R"({"name": "resnet18"})");
  for (const NamedTensor& parameter : network->parameters()) {
    if (parameter.tensor.dim() != 4) continue;
    EXPECT_TRUE(parameter.tensor.is_contiguous(at::MemoryFormat::ChannelsLast)) << parameter.name;
  }
}

TEST(Network, MemoryFormatOfTheImagesDoesNotMatter) {
  const c10::InferenceMode inference;
  const auto network = Make(R"({"name": "resnet18"})");
  const at::Tensor images = at::randn({2, 3, 40, 48});
  const at::Tensor logits = network->Forward(images, false);
  EXPECT_EQ(logits.sizes(), (std::vector<std::int64_t>{2, 10}));
  EXPECT_TRUE(at::equal(network->Forward(images.contiguous(at::MemoryFormat::ChannelsLast), false),
                        logits));
}

TEST(Network, TrainingMovesTheRunningStatisticsAndEvaluationDoesNot) {
  const auto network = Make(R"({"name": "resnet18"})");
  const at::Tensor images = at::randn({2, 3, 32, 32});
  const auto find = [&](const std::string& name) {
    for (const NamedTensor& entry : network->state()) {
      if (entry.name == name) return entry.tensor;
    }
    return at::Tensor();
  };
  network->Forward(images, false);
  EXPECT_EQ(find("bn1.num_batches_tracked").item<std::int64_t>(), 0);
  EXPECT_TRUE(at::equal(find("bn1.running_mean"), at::zeros({64})));
  network->Forward(images, true);
  network->Forward(images, true);
  EXPECT_EQ(find("layer4.1.bn2.num_batches_tracked").item<std::int64_t>(), 2);
  EXPECT_FALSE(at::equal(find("bn1.running_mean"), at::zeros({64})));
}

TEST(Network, EveryParameterGetsAGradient) {
  for (const char* json : {R"({"name": "resnet18"})", R"({"name": "resnet50"})"}) {
    const auto network = Make(json);
    const auto loss = MakeLoss(Params::FromJson(R"({"label_smoothing": 0.1})", "loss"));
    const at::Tensor logits = network->Forward(at::randn({2, 3, 64, 64}), true);
    loss->Mean(logits, at::tensor({1, 7}, at::kLong)).backward();
    for (const NamedTensor& parameter : network->parameters()) {
      ASSERT_TRUE(parameter.tensor.grad().defined()) << parameter.name;
      EXPECT_TRUE(parameter.tensor.grad().isfinite().all().item<bool>()) << parameter.name;
    }
  }
}

TEST(Network, PartsAreLeftOutInTrainingAloneAndFollowTheSamples) {
  const auto network = Make(R"({"name": "resnet18", "width": 8, "stochastic_depth": 0.9})", 10, 0);
  const auto whole = Make(R"({"name": "resnet18", "width": 8})", 10, 0);
  const c10::NoGradGuard no_grad;
  const at::Tensor images = at::randn({4, 3, 32, 32});
  EXPECT_TRUE(at::equal(network->Forward(images, false), whole->Forward(images, false)));
  const auto train = [&](std::uint32_t epoch, const std::vector<std::uint64_t>& ids) {
    network->DrawParts(epoch, ids);
    return network->Forward(images, true);
  };
  const at::Tensor first = train(0, {1, 2, 3, 4});
  EXPECT_FALSE(at::equal(first, whole->Forward(images, true)));
  EXPECT_FALSE(at::equal(first, train(1, {1, 2, 3, 4})));
  EXPECT_FALSE(at::equal(first, train(0, {5, 6, 7, 8})));
  // More were drawn than there are.
  train(0, {1, 2, 3, 4, 9});
  EXPECT_TRUE(at::equal(first, network->Forward(images, true)));
}

TEST(Network, ZeroInitResidualMakesBlocksIdentities) {
  const auto network = Make(R"({"name": "resnet50", "zero_init_residual": true})");
  for (const NamedTensor& parameter : network->parameters()) {
    if (parameter.name.ends_with(".bn3.weight")) {
      EXPECT_EQ(parameter.tensor.abs().max().item<float>(), 0) << parameter.name;
    }
    if (parameter.name.ends_with(".bn2.weight")) {
      EXPECT_EQ(parameter.tensor.min().item<float>(), 1) << parameter.name;
    }
  }
}

TEST(Network, BiasOfTheClassifierBeginsWhereAskedAndNothingElseChanges) {
  const auto plain = Make(R"({"name": "resnet18", "width": 16})");
  const auto network = Make(R"({"name": "resnet18", "width": 16, "fc_bias": -2.5})");
  for (std::size_t i = 0; i < plain->parameters().size(); ++i) {
    const NamedTensor& parameter = network->parameters()[i];
    if (parameter.name == "fc.bias") {
      EXPECT_TRUE(at::equal(parameter.tensor, at::full_like(parameter.tensor, -2.5)));
      EXPECT_TRUE(parameter.tensor.requires_grad());
    } else {
      EXPECT_TRUE(at::equal(parameter.tensor, plain->parameters()[i].tensor)) << parameter.name;
    }
  }
}

TEST(Network, WidthScalesEveryLayer) {
  const auto network = Make(R"({"name": "resnet18", "width": 16})");
  EXPECT_EQ(network->state().front().tensor.sizes(), (std::vector<std::int64_t>{16, 3, 7, 7}));
  for (const NamedTensor& parameter : network->parameters()) {
    if (parameter.name == "layer4.1.conv2.weight") {
      EXPECT_EQ(parameter.tensor.sizes(), (std::vector<std::int64_t>{128, 128, 3, 3}));
    }
  }
  EXPECT_EQ(network->Forward(at::randn({2, 3, 28, 28}), true).sizes(),
            (std::vector<std::int64_t>{2, 10}));
}

TEST(Network, DepthThatCannotBeIsNamed) {
  try {
    Make(R"({"name": "resnet18", "stochastic_depth": 1})");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
    EXPECT_THAT(error.what(),
                HasSubstr("stochastic_depth: is 1, with which the last block would never be used"));
  }
}

TEST(Network, WidthThatCannotBeIsNamed) {
  for (const char* json :
       {R"({"name": "resnet18", "width": 12})", R"({"name": "resnet50", "width": 96})"}) {
    try {
      Make(json);
      FAIL() << json;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
      EXPECT_THAT(error.what(), HasSubstr("model: width: is ")) << json;
      EXPECT_THAT(error.what(), HasSubstr("needs a multiple of ")) << json;
    }
  }
}

TEST(Network, MemoryFormatChangesWhereValuesLieAndNotWhatTheyAre) {
  const c10::InferenceMode guard;
  const auto last = Make(R"({"name": "resnet18"})", 10, 3);
  const auto first = Make(R"({"name": "resnet18", "memory_format": "contiguous"})", 10, 3);
  for (std::size_t i = 0; i < last->state().size(); ++i) {
    const at::Tensor& a = last->state()[i].tensor;
    const at::Tensor& b = first->state()[i].tensor;
    EXPECT_TRUE(at::equal(a, b)) << last->state()[i].name;
    EXPECT_TRUE(b.is_contiguous());
    if (a.dim() != 4) continue;
    EXPECT_TRUE(a.is_contiguous(at::MemoryFormat::ChannelsLast));
  }
  const at::Tensor images = at::randn({2, 3, 64, 64});
  EXPECT_TRUE(
      at::allclose(last->Forward(images, false), first->Forward(images, false), 1e-4, 1e-5));
}

TEST(Network, UnknownMemoryFormatIsAnError) {
  EXPECT_THAT([] { Make(R"({"name": "resnet18", "memory_format": "nchw"})"); },
              ::testing::ThrowsMessage<Error>(
                  AllOf(HasSubstr("memory_format"), HasSubstr("channels_last, contiguous"))));
}

TEST(ResNet, EveryMemberRecognisesItself) {
  for (const char* name :
       {"resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "wide_resnet50_2"}) {
    EXPECT_EQ(RecognizeResNet(MakeResNet(*FindResNet(name), {.num_classes = 3})->state()), name);
  }
  EXPECT_EQ(RecognizeResNet({}), "");
}

TEST(Loss, SmoothingIsTheFormula) {
  const at::Tensor logits = at::randn({6, 5});
  const at::Tensor labels = at::tensor({0, 1, 2, 3, 4, 0}, at::kLong);
  const auto loss = MakeLoss(Params::FromJson(R"({"label_smoothing": 0.2})", "loss"));
  const at::Tensor target = at::one_hot(labels, 5) * 0.8 + 0.2 / 5;
  const at::Tensor wanted = -(target * logits.log_softmax(1)).sum(1);
  EXPECT_TRUE(at::allclose(loss->PerSample(logits, labels), wanted, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(loss->Mean(logits, labels), wanted.mean(), 1e-5, 1e-6));
  const auto plain = MakeLoss(Params("loss"));
  EXPECT_TRUE(at::allclose(plain->PerSample(logits, target), wanted, 1e-5, 1e-6));
}

TEST(Loss, BinaryCrossEntropyIsTheFormulaForClassesAndForShares) {
  const at::Tensor logits = at::randn({6, 5});
  const at::Tensor labels = at::tensor({0, 1, 2, 3, 4, 0}, at::kLong);
  const at::Tensor target = at::one_hot(labels, 5) * 0.8 + 0.2 / 5;
  const at::Tensor chance = logits.sigmoid();
  const at::Tensor parts = -(target * chance.log() + (1 - target) * (1 - chance).log());

  const std::string smoothed = R"("name": "binary_cross_entropy", "label_smoothing": 0.2)";
  const auto mean = MakeLoss(Params::FromJson("{" + smoothed + "}", "loss"));
  EXPECT_TRUE(at::allclose(mean->PerSample(logits, labels), parts.mean(1), 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(mean->Mean(logits, labels), parts.mean(), 1e-5, 1e-6));
  const auto sum = MakeLoss(Params::FromJson("{" + smoothed + R"(, "sum_classes": true})", "loss"));
  EXPECT_TRUE(at::allclose(sum->PerSample(logits, labels), parts.sum(1), 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(sum->Mean(logits, labels), parts.sum(1).mean(), 1e-5, 1e-6));
  const auto plain = MakeLoss(Params::FromJson(R"({"name": "binary_cross_entropy"})", "loss"));
  EXPECT_TRUE(at::allclose(plain->PerSample(logits, target), parts.mean(1), 1e-5, 1e-6));
}

TEST(Loss, WrongSettingsAreNamed) {
  EXPECT_THAT([] { MakeLoss(Params::FromJson(R"({"name": "hinge"})", "loss")); },
              ::testing::ThrowsMessage<Error>(
                  HasSubstr("name: is \"hinge\"; it must be one of cross_entropy, binary_")));
  EXPECT_THROW(MakeLoss(Params::FromJson(R"({"label_smoothing": 1.5})", "loss")), Error);
  EXPECT_THAT([] { MakeLoss(Params::FromJson(R"({"sum_classes": true})", "loss")); },
              ::testing::ThrowsMessage<Error>(HasSubstr(
                  "sum_classes: has no effect on cross_entropy; binary_cross_entropy has it")));
}

}  // namespace
}  // namespace millrace::model
