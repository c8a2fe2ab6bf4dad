#include "model/network.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "base/suggest.h"
#include "model/resnet.h"

namespace millrace::model {

void Network::AddParameter(std::string name, at::Tensor tensor) {
  state_.push_back({name, tensor});
  parameters_.push_back({std::move(name), std::move(tensor)});
}

void Network::AddBuffer(std::string name, at::Tensor tensor) {
  state_.push_back({name, tensor});
  buffers_.push_back({std::move(name), std::move(tensor)});
}

std::unique_ptr<Network> MakeNetwork(const Params& section, std::int64_t num_classes,
                                     std::uint64_t seed) {
  const std::string name = section.Text("name");
  const ResNetArchitecture* architecture = FindResNet(name);
  if (architecture == nullptr) {
    const std::vector<std::string> known = ResNetNames();
    section.Blame("name", fmt::format("is \"{}\"; known networks are {}{}", name,
                                      fmt::join(known, ", "), Suggest(name, known)));
  }
  return MakeResNet(*architecture, num_classes, section.Flag("zero_init_residual", false), seed);
}

}  // namespace millrace::model
