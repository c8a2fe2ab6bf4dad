#include "model/torchscript.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/api/module.h>

#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/network.h"
#include "tests/model/test_folder.h"

namespace millrace::model {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::int64_t kClasses = 4;

// Averages over pixels, then a linear layer.
constexpr const char* kForward = R"(
def forward(self, x):
    return torch.linear(torch.mean(x, [2, 3]), self.weight, self.bias)
)";

class TorchScript : public TestFolder {
 protected:
  // A module with "weight" and "bias" of a linear layer.
  static torch::jit::Module Linear(std::int64_t classes = kClasses) {
    torch::jit::Module module("Tiny");
    module.register_attribute("training", c10::BoolType::get(), true);
    module.register_parameter("weight", at::ones({classes, 3}).requires_grad_(true), false);
    module.register_parameter("bias", at::zeros({classes}).requires_grad_(true), false);
    return module;
  }

  std::string Save(torch::jit::Module module, const std::string& source = kForward) {
    module.define(source);
    const std::string path = (folder() / "model.pt").string();
    module.save(path);
    return path;
  }

  // The [model] section that names `file`, with `more` settings.
  static Params Section(const std::string& file, const std::string& more = "") {
    return Params::FromJson(R"({"model": {"torchscript": ")" + file + "\"" + more + "}}",
                            "recipe.toml")
        .Section("model");
  }

  std::string MessageOf(const std::function<void()>& act) {
    try {
      act();
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
      return error.what();
    }
    return "nothing was thrown";
  }
  std::string LoadMessage(const Params& section) {
    return MessageOf([&] { LoadTorchScript(section, kClasses, 0); });
  }
  std::string RehearsalMessage(const Params& section, bool trains = true) {
    return MessageOf([&] { RehearseTorchScript(section, kClasses, 8, 8, trains); });
  }
};

std::vector<std::string> Names(const std::vector<NamedTensor>& list) {
  std::vector<std::string> names;
  for (const NamedTensor& entry : list) names.push_back(entry.name);
  return names;
}

TEST_F(TorchScript, ParametersAndBuffersHaveTheNamesAndTheOrderOfTheStateDict) {
  torch::jit::Module child("Child");
  child.register_buffer("counts", at::zeros({2}, at::kLong));
  child.register_parameter("scale", at::ones({1}).requires_grad_(true), false);
  torch::jit::Module module = Linear();
  module.register_module("child", child);
  module.register_buffer("mean", at::zeros({3}));
  const auto network = LoadTorchScript(Section(Save(module)), kClasses, 0);
  EXPECT_EQ(Names(network->state()),
            (std::vector<std::string>{"weight", "bias", "mean", "child.scale", "child.counts"}));
  EXPECT_EQ(Names(network->parameters()),
            (std::vector<std::string>{"weight", "bias", "child.scale"}));
  EXPECT_EQ(network->name(), "TorchScript Tiny");
}

TEST_F(TorchScript, WhatRequiresNoGradientIsNotTrained) {
  torch::jit::Module module = Linear();
  module.register_parameter("frozen", at::ones({2}), false);
  const auto network = LoadTorchScript(Section(Save(module)), kClasses, 0);
  EXPECT_EQ(Names(network->buffers()), std::vector<std::string>{"frozen"});
}

TEST_F(TorchScript, ImagesAndWeightsLieInTheWantedFormat) {
  torch::jit::Module module = Linear();
  module.register_parameter("kernel", at::ones({3, 3, 2, 2}).requires_grad_(true), false);
  const std::string file = Save(module, R"(
def forward(self, x):
    return torch.linear(torch.mean(x, [2, 3]), self.weight, self.bias) + x.stride(1)
)");
  const at::Tensor images = at::zeros({2, 3, 4, 4});
  const auto network = LoadTorchScript(Section(file), kClasses, 0);
  EXPECT_EQ(network->Forward(images, false)[0][0].item<float>(), 1);
  EXPECT_TRUE(network->state()[2].tensor.is_contiguous(at::MemoryFormat::ChannelsLast));
  const auto contiguous =
      LoadTorchScript(Section(file, R"(, "memory_format": "contiguous")"), kClasses, 0);
  EXPECT_EQ(contiguous->Forward(images, false)[0][0].item<float>(), 16);
  EXPECT_TRUE(contiguous->state()[2].tensor.is_contiguous());
}

TEST_F(TorchScript, TrainingIsToldToAllOfIt) {
  torch::jit::Module module = Linear();
  const auto network = LoadTorchScript(Section(Save(module, R"(
def forward(self, x):
    y = torch.linear(torch.mean(x, [2, 3]), self.weight, self.bias)
    if self.training:
        y = y + 1
    return y
)")),
                                       kClasses, 0);
  const at::Tensor images = at::zeros({1, 3, 2, 2});
  EXPECT_EQ(network->Forward(images, false)[0][0].item<float>(), 0);
  EXPECT_EQ(network->Forward(images, true)[0][0].item<float>(), 1);
  EXPECT_EQ(network->Forward(images, false)[0][0].item<float>(), 0);
}

// As exports of PyTorch before 1.12 count their batches.
TEST_F(TorchScript, BuffersThatAreReplacedStayTheNetworks) {
  torch::jit::Module module = Linear();
  module.register_buffer("seen", at::zeros({}, at::kLong));
  const auto network = LoadTorchScript(Section(Save(module, R"(
def forward(self, x):
    self.seen = self.seen + x.size(0)
    return torch.linear(torch.mean(x, [2, 3]), self.weight, self.bias)
)")),
                                       kClasses, 0);
  const at::Tensor seen = network->buffers().at(0).tensor;
  network->Forward(at::zeros({2, 3, 2, 2}), true);
  network->Forward(at::zeros({3, 3, 2, 2}), true);
  EXPECT_EQ(seen.item<std::int64_t>(), 5);
  seen.zero_();  // as a checkpoint is loaded
  network->Forward(at::zeros({1, 3, 2, 2}), true);
  EXPECT_EQ(seen.item<std::int64_t>(), 1);
}

TEST_F(TorchScript, DrawsFollowFromSeedEpochAndSamplesAlone) {
  const std::string file = Save(Linear(), R"(
def forward(self, x):
    y = torch.linear(torch.mean(x, [2, 3]), self.weight, self.bias)
    return torch.dropout(y, 0.5, self.training)
)");
  const at::Tensor images = at::ones({16, 3, 2, 2});
  const auto scores = [&](std::uint64_t seed, std::uint32_t epoch, std::uint64_t first_sample) {
    const auto network = LoadTorchScript(Section(file), kClasses, seed);
    std::vector<std::uint64_t> ids(16, first_sample);
    at::rand({3});  // others draw too
    network->DrawParts(epoch, ids);
    return network->Forward(images, /*training=*/true);
  };
  const at::Tensor once = scores(1, 2, 3);
  EXPECT_TRUE(at::equal(once, scores(1, 2, 3)));
  EXPECT_FALSE(at::equal(once, scores(2, 2, 3)));
  EXPECT_FALSE(at::equal(once, scores(1, 3, 3)));
  EXPECT_FALSE(at::equal(once, scores(1, 2, 4)));
}

TEST_F(TorchScript, SettingsOfBuiltInNetworksAreRefused) {
  const std::string file = Save(Linear());
  for (const char* setting :
       {R"("width": 64)", R"("blurpool": true)", R"("zero_init_residual": true)",
        R"("sync_batch_norm": true)", R"("stochastic_depth": 0.1)"}) {
    const std::string text = setting;
    const std::string key = text.substr(1, text.find('"', 1) - 1);
    EXPECT_THAT(
        LoadMessage(Section(file, ", " + text)),
        StartsWith("recipe.toml: model." + key + ": belongs to the networks that are built in"));
  }
  EXPECT_THAT(LoadMessage(Section(file, R"(, "name": "resnet18")")),
              StartsWith("recipe.toml: model.name: and model.torchscript are two models"));
  // What a recipe that is extended has can be taken back.
  const Params section = Section(file, R"(, "name": "", "blurpool": false, "stochastic_depth": 0)");
  LoadTorchScript(section, kClasses, 0);
  section.RefuseUnknown();
}

TEST_F(TorchScript, FilesThatAreNoneAreRefused) {
  EXPECT_THAT(LoadMessage(Section("/nowhere/model.pt")),
              HasSubstr("model.torchscript: there is no file /nowhere/model.pt"));
  std::ofstream(folder() / "text.pt") << "not a model";
  EXPECT_THAT(LoadMessage(Section((folder() / "text.pt").string())),
              HasSubstr("text.pt is no TorchScript module, as torch.jit.script(model).save(FILE)"));
}

TEST_F(TorchScript, WhatCannotBeTrainedIsRefused) {
  torch::jit::Module tied = Linear();
  tied.register_parameter("again", tied.attr("weight").toTensor(), false);
  EXPECT_THAT(LoadMessage(Section(Save(tied))), HasSubstr("weight and again are one tensor"));

  torch::jit::Module half("Half");
  half.register_parameter("weight", at::ones({4, 3}, at::kHalf).requires_grad_(true), false);
  EXPECT_THAT(LoadMessage(Section(Save(half, "def forward(self, x):\n    return x\n"))),
              HasSubstr("weight holds Half; export the model in float32"));

  torch::jit::Module frozen("Frozen");
  EXPECT_THAT(LoadMessage(Section(Save(frozen, "def forward(self, x):\n    return x\n"))),
              HasSubstr("no parameter is to be trained"));

  EXPECT_THAT(LoadMessage(Section(Save(Linear(), "def forward(self, x, y):\n    return x\n"))),
              HasSubstr("has no forward(images) with one argument"));
}

TEST_F(TorchScript, ProgramsThatWereTracedInOneModeAreRefused) {
  torch::jit::Module module = Linear();
  module.register_buffer("mean", at::zeros({3}));
  module.register_buffer("var", at::ones({3}));
  EXPECT_THAT(
      LoadMessage(Section(Save(module, R"(
def forward(self, x):
    x = torch.batch_norm(x, None, None, self.mean, self.var, False, 0.1, 1e-5, False)
    return torch.linear(torch.mean(x, [2, 3]), self.weight, self.bias)
)"))),
      HasSubstr("does the same in training and in evaluation (aten::batch_norm): it was traced"));
  EXPECT_THAT(LoadMessage(Section(Save(Linear(), R"(
def forward(self, x):
    return torch.dropout(torch.linear(torch.mean(x, [2, 3]), self.weight, self.bias), 0.1, True)
)"))),
              HasSubstr("(aten::dropout): it was traced"));
  // Nothing is dropped.
  LoadTorchScript(Section(Save(Linear(), R"(
def forward(self, x):
    return torch.dropout(torch.linear(torch.mean(x, [2, 3]), self.weight, self.bias), 0.0, False)
)")),
                  kClasses, 0);
}

TEST_F(TorchScript, RehearsalTellsOfAnotherNumberOfClasses) {
  const Params section = Section(Save(Linear(/*classes=*/10)));
  for (const bool trains : {true, false}) {
    EXPECT_THAT(RehearsalMessage(section, trains),
                HasSubstr("model.pt gives 10 scores for a picture, but the dataset has 4 classes"));
  }
}

TEST_F(TorchScript, RehearsalTellsOfOtherShapes) {
  EXPECT_THAT(RehearsalMessage(
                  Section(Save(Linear(), "def forward(self, x):\n    return x * self.bias[0]\n"))),
              HasSubstr("gives [3, 3, 8, 8] for 3 pictures of 8 x 8; needed are scores [3, 4]"));
  EXPECT_THAT(RehearsalMessage(Section(Save(Linear(), "def forward(self, x):\n    return x, x\n"))),
              HasSubstr("gives a Tuple in training; millrace needs one tensor of scores"));
  EXPECT_THAT(
      RehearsalMessage(Section(Save(Linear(), "def forward(self, x):\n    return x.view(1, 7)\n"))),
      HasSubstr("cannot take pictures of 8 x 8: "));
}

TEST_F(TorchScript, RehearsalTellsOfParametersWithoutGradients) {
  torch::jit::Module module = Linear();
  module.register_parameter("idle", at::ones({2}).requires_grad_(true), false);
  const Params section = Section(Save(module));
  EXPECT_THAT(RehearsalMessage(section),
              HasSubstr("does not use 1 of its parameters in training: idle; set requires_grad"));
  RehearseTorchScript(section, kClasses, 8, 8, /*trains=*/false);
}

TEST_F(TorchScript, RehearsalOfWhatFitsSaysNothing) {
  RehearseTorchScript(Section(Save(Linear())), kClasses, 8, 8, /*trains=*/true);
  RehearseTorchScript(Params::FromJson(R"({"name": "resnet18"})", "model"), kClasses, 8, 8, true);
}

}  // namespace
}  // namespace millrace::model
