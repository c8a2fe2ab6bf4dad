#include "model/weights.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "model/checkpoint.h"
#include "model/resnet.h"
#include "model/safetensors.h"

namespace millrace::model {
namespace {

// What the state seems to be when that explains why it does not fit: "it is a resnet50, the recipe
// says resnet18". "" when nothing better than the list can be said.
std::string Explain(const Network& network, std::span<const NamedTensor> state) {
  const std::string_view seen = RecognizeResNet(state);
  if (!seen.empty() && seen != network.name()) {
    return fmt::format("it is a {}, the recipe says {}", seen, network.name());
  }
  const auto bias =
      std::find_if(state.begin(), state.end(), [](const auto& e) { return e.name == "fc.bias"; });
  if (bias != state.end() && bias->tensor.numel() != network.classes()) {
    return fmt::format("it holds {} classes, the data has {}", bias->tensor.numel(),
                       network.classes());
  }
  return "";
}

}  // namespace

void LoadWeights(Network& network, std::span<const NamedTensor> state, const std::string& source) {
  const StateMismatch mismatch = CompareStates(network.state(), state);
  if (!mismatch.empty()) {
    const std::string explanation = Explain(network, state);
    Fail("{}: the weights do not fit the network{}{} ({})", source, explanation.empty() ? "" : ": ",
         explanation, mismatch.Text());
  }
  CopyState(network.state(), state);
}

void LoadWeights(Network& network, const std::filesystem::path& path) {
  TensorFile file = ReadSafetensors(path);
  if (IsCheckpoint(file)) {
    LoadWeights(network, SplitCheckpoint(std::move(file), path).evaluated(), path.string());
  } else {
    LoadWeights(network, file.tensors, path.string());
  }
}

void SaveWeights(const Network& network, const std::filesystem::path& path,
                 const std::map<std::string, std::string>& metadata) {
  WriteSafetensors(path, network.state(), metadata);
}

}  // namespace millrace::model
