// Weights between networks and files.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "model/network.h"

namespace millrace::model {

// Copies `state` into the network, strictly: the same names, the same shapes. `source` (a path)
// stands in front of messages. Throws one Error that lists what is missing, unexpected or of
// another shape, and says what the state seems to be; the network is then as it was.
void LoadWeights(Network& network, std::span<const NamedTensor> state, const std::string& source);

// LoadWeights from a safetensors file: exported weights, or of a checkpoint those that are
// evaluated (Checkpoint::evaluated()).
void LoadWeights(Network& network, const std::filesystem::path& path);

// The network's state under torchvision's names; `load_state_dict(load_file(path), strict=True)`
// takes it. Written atomically.
void SaveWeights(const Network& network, const std::filesystem::path& path,
                 const std::map<std::string, std::string>& metadata);

}  // namespace millrace::model
