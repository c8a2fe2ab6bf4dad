#include "model/weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "model/checkpoint.h"
#include "model/pytorch_file.h"
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

const at::Tensor* Find(std::span<const NamedTensor> list, std::string_view name) {
  const auto found =
      std::find_if(list.begin(), list.end(), [&](const auto& e) { return e.name == name; });
  return found == list.end() ? nullptr : &found->tensor;
}

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Whether a state fits a network but for its head.
struct OtherHead {
  bool is_other = false;
  std::int64_t classes = 0;  // of the state; 0: it has no head
};

OtherHead FindOtherHead(const Network& network, std::span<const NamedTensor> state) {
  OtherHead head;
  std::size_t missing = 0;
  std::size_t other = 0;
  for (const std::string& name : network.head()) {
    const at::Tensor* given = Find(state, name);
    if (given == nullptr) {
      ++missing;
      continue;
    }
    const at::IntArrayRef wanted = Find(network.state(), name)->sizes();
    if (given->sizes() == wanted || given->dim() != std::ssize(wanted)) continue;
    if (given->sizes().slice(1) != wanted.slice(1)) continue;
    ++other;
    head.classes = given->size(0);
  }
  const std::size_t parts = network.head().size();
  head.is_other = parts > 0 && (missing == parts || other == parts);
  return head;
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

WeightsFile ReadWeights(const std::filesystem::path& path) {
  if (IsPyTorchFile(path)) {
    PyTorchState state = ReadPyTorchFile(path);
    return {.tensors = std::move(state.tensors), .part = std::move(state.part)};
  }
  TensorFile file = ReadSafetensors(path);
  if (!IsCheckpoint(file)) return {.tensors = std::move(file.tensors), .part = ""};
  const Checkpoint checkpoint = SplitCheckpoint(std::move(file), path);
  return {.tensors = checkpoint.evaluated(), .part = ""};
}

void LoadWeights(Network& network, const std::filesystem::path& path) {
  LoadWeights(network, ReadWeights(path).tensors, path.string());
}

std::string InitialWeightsFile(const Params& section) {
  return section.Has("weights") ? section.Text("weights") : "";
}

std::string LoadInitialWeights(Network& network, const std::filesystem::path& path) {
  WeightsFile file = ReadWeights(path);
  std::string told = fmt::format("initial weights from {}", path.string());
  if (!file.part.empty()) told += fmt::format(" (its {})", file.part);
  const OtherHead head = FindOtherHead(network, file.tensors);
  if (head.is_other) {
    std::erase_if(file.tensors, [&](const auto& e) { return Contains(network.head(), e.name); });
    told += fmt::format("; {} begin anew: the file has {}", fmt::join(network.head(), " and "),
                        head.classes == 0 ? "none"
                                          : fmt::format("{} classes, the data {}", head.classes,
                                                        network.classes()));
  }
  for (const NamedTensor& own : network.state()) {
    const bool may_lack = own.name.ends_with(".num_batches_tracked") ||
                          (head.is_other && Contains(network.head(), own.name));
    if (may_lack && Find(file.tensors, own.name) == nullptr) {
      file.tensors.push_back({own.name, own.tensor.detach().clone()});
    }
  }
  try {
    LoadWeights(network, file.tensors, path.string());
  } catch (const Error& error) {
    Fail("{}; all weights of {} but the head's are needed, under its own names", error.what(),
         network.name());
  }
  return told;
}

void SaveWeights(const Network& network, const std::filesystem::path& path,
                 const std::map<std::string, std::string>& metadata) {
  WriteSafetensors(path, network.state(), metadata);
}

}  // namespace millrace::model
