#include "model/weights.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "model/checkpoint.h"
#include "model/resnet.h"
#include "model/safetensors.h"
#include "model/threads.h"
#include "tests/model/test_folder.h"

namespace millrace::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::unique_ptr<Network> Make(const char* name, std::int64_t classes, std::uint64_t seed) {
  return MakeResNet(*FindResNet(name), {.num_classes = classes, .seed = seed});
}

std::vector<NamedTensor> CloneOf(const Network& network) {
  std::vector<NamedTensor> state;
  for (const NamedTensor& entry : network.state()) {
    state.push_back({entry.name, entry.tensor.detach().clone()});
  }
  return state;
}

bool Equal(const Network& a, const Network& b) {
  for (std::size_t i = 0; i < a.state().size(); ++i) {
    if (!at::equal(a.state()[i].tensor, b.state()[i].tensor)) return false;
  }
  return true;
}

std::string ErrorOf(Network& network, const std::vector<NamedTensor>& state) {
  try {
    LoadWeights(network, state, "w.safetensors");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

class Weights : public TestFolder {};

TEST_F(Weights, SavedOnesComeBack) {
  const auto saved = Make("resnet18", 10, 1);
  SaveWeights(*saved, folder() / "w.safetensors", {{"made by", "a test"}});
  const auto loaded = Make("resnet18", 10, 2);
  EXPECT_FALSE(Equal(*saved, *loaded));
  LoadWeights(*loaded, folder() / "w.safetensors");
  EXPECT_TRUE(Equal(*saved, *loaded));
  for (const NamedTensor& parameter : loaded->parameters()) {
    EXPECT_TRUE(parameter.tensor.requires_grad());
    if (parameter.tensor.dim() == 4) {
      EXPECT_TRUE(parameter.tensor.is_contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
}

TEST_F(Weights, OptimizerStateInACheckpointIsLeftAside) {
  const auto saved = Make("resnet18", 10, 1);
  WriteCheckpoint(folder() / "c.safetensors",
                  {.weights = saved->state(),
                   .optimizer = {{"fc.bias.momentum_buffer", at::ones({10})}},
                   .metadata = {}});
  const auto loaded = Make("resnet18", 10, 2);
  LoadWeights(*loaded, folder() / "c.safetensors");
  EXPECT_TRUE(Equal(*saved, *loaded));
}

TEST_F(Weights, HalfPrecisionFillsFloat) {
  const auto network = Make("resnet18", 10, 1);
  std::vector<NamedTensor> state = CloneOf(*network);
  state[0].tensor = state[0].tensor.to(at::kHalf);
  LoadWeights(*network, state, "w");
  EXPECT_EQ(network->state()[0].tensor.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(network->state()[0].tensor, state[0].tensor.to(at::kFloat)));
}

TEST_F(Weights, OtherNumberOfClassesIsSaid) {
  const auto network = Make("resnet18", 10, 1);
  EXPECT_THAT(
      ErrorOf(*network, CloneOf(*Make("resnet18", 1000, 1))),
      AllOf(HasSubstr("w.safetensors: the weights do not fit the network: it holds 1000 "
                      "classes, the data has 10"),
            HasSubstr("fc.weight is [1000, 512], needed is [10, 512]"), Not(HasSubstr("missing"))));
}

TEST_F(Weights, OtherNetworkIsSaidAndTheListIsCut) {
  const auto network = Make("resnet18", 10, 1);
  const std::vector<NamedTensor> before = CloneOf(*network);
  EXPECT_THAT(ErrorOf(*network, CloneOf(*Make("resnet50", 10, 1))),
              AllOf(HasSubstr("it is a resnet50, the recipe says resnet18"),
                    HasSubstr("unexpected: layer1.0.conv3.weight"), HasSubstr(" more")));
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(at::equal(before[i].tensor, network->state()[i].tensor));
  }
}

TEST_F(Weights, EverySingleMissingOrExtraTensorIsNamed) {
  const auto network = Make("resnet18", 10, 1);
  const std::vector<NamedTensor> whole = CloneOf(*network);
  for (std::size_t i = 0; i < whole.size(); i += 17) {
    std::vector<NamedTensor> state = whole;
    state.erase(state.begin() + static_cast<std::ptrdiff_t>(i));
    state.push_back({"stranger", at::ones({1})});
    EXPECT_THAT(ErrorOf(*network, state),
                AllOf(HasSubstr("missing: " + whole[i].name), HasSubstr("unexpected: stranger")));
  }
}

TEST_F(Weights, WrongKindOfNumberIsNamed) {
  const auto network = Make("resnet18", 10, 1);
  std::vector<NamedTensor> state = CloneOf(*network);
  state[0].tensor = state[0].tensor.to(at::kInt);
  EXPECT_THAT(ErrorOf(*network, state), HasSubstr("conv1.weight holds Int, needed is Float"));
}

TEST(Threads, NumberIsKept) {
  const int before = ComputeThreads();
  SetComputeThreads(1);
  EXPECT_EQ(ComputeThreads(), 1);
  SetComputeThreads(before);
  EXPECT_EQ(ComputeThreads(), before);
}

}  // namespace
}  // namespace millrace::model
