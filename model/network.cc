#include "model/network.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "base/check.h"
#include "model/resnet.h"
#include "model/torchscript.h"

namespace millrace::model {

void Network::AddParameter(std::string name, at::Tensor tensor) {
  state_.push_back({name, tensor});
  parameters_.push_back({std::move(name), std::move(tensor)});
}

void Network::SynchronizeNorms(ProcessGroup&) {
  // A network that was made for `sync_batch_norm` has its own.
  MILLRACE_CHECK(false);
}

void Network::MoveTo(c10::Device device) {
  for (NamedTensor& entry : state_) entry.tensor.set_data(entry.tensor.detach().to(device));
  for (at::Tensor& tensor : constants_) tensor.set_data(tensor.to(device));
}

void Network::AddBuffer(std::string name, at::Tensor tensor) {
  state_.push_back({name, tensor});
  buffers_.push_back({std::move(name), std::move(tensor)});
}

c10::MemoryFormat ReadMemoryFormat(const Params& section) {
  return section.Choice("memory_format", {"channels_last", "contiguous"}, "channels_last") ==
                 "contiguous"
             ? c10::MemoryFormat::Contiguous
             : c10::MemoryFormat::ChannelsLast;
}

namespace {

std::unique_ptr<Network> MakeNamedResNet(const Params& section, std::int64_t num_classes,
                                         std::uint64_t seed) {
  const std::string name = section.Text("name");
  const ResNetArchitecture* architecture = FindResNet(name);
  MILLRACE_CHECK(architecture != nullptr);
  // Whole groups in every layer, and channels that fill vectors.
  constexpr std::int64_t kWidthStep = 8;
  const std::int64_t width = section.IntegerIn("width", kWidthStep, 512, 64);
  if (width % kWidthStep != 0 || (architecture->bottleneck && width % 64 != 0)) {
    section.Blame("width", fmt::format("is {}; {} needs a multiple of {}", width, name,
                                       architecture->bottleneck ? 64 : kWidthStep));
  }
  const double stochastic_depth = section.NumberIn("stochastic_depth", 0, 1, 0.0);
  if (stochastic_depth == 1) {
    section.Blame("stochastic_depth", "is 1, with which the last block would never be used");
  }
  std::optional<double> fc_bias;
  if (section.Has("fc_bias")) fc_bias = section.Number("fc_bias");
  return MakeResNet(*architecture, {.num_classes = num_classes,
                                    .width = width,
                                    .blurpool = section.Flag("blurpool", false),
                                    .stochastic_depth = stochastic_depth,
                                    .zero_init_residual = section.Flag("zero_init_residual", false),
                                    .fc_bias = fc_bias,
                                    .sync_batch_norm = section.Flag("sync_batch_norm", false),
                                    .memory_format = ReadMemoryFormat(section),
                                    .seed = seed});
}

}  // namespace

Table<NetworkMaker> BuiltInNetworks() {
  Table<NetworkMaker> networks;
  for (std::string& name : ResNetNames()) networks.Add(std::move(name), &MakeNamedResNet);
  return networks;
}

std::unique_ptr<Network> MakeNetwork(const Params& section, std::int64_t num_classes,
                                     std::uint64_t seed, const Components& known) {
  if (IsTorchScript(section)) return LoadTorchScript(section, num_classes, seed);
  return known.networks.Choose(section, "name")(section, num_classes, seed);
}

}  // namespace millrace::model
