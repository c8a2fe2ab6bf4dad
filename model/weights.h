// Weights between networks and files.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/network.h"

namespace millrace::model {

// Copies `state` into the network, strictly: the same names, the same shapes. `source` (a path)
// stands in front of messages. Throws one Error that lists what is missing, unexpected or of
// another shape, and says what the state seems to be; the network is then as it was.
void LoadWeights(Network& network, std::span<const NamedTensor> state, const std::string& source);

// Weights from a file: safetensors, of a checkpoint those that are evaluated
// (Checkpoint::evaluated()), or what torch.save wrote (pytorch_file.h).
struct WeightsFile {
  std::vector<NamedTensor> tensors;
  std::string part;  // the name that they had in the file; "": they are the file
};
WeightsFile ReadWeights(const std::filesystem::path& path);

// LoadWeights from ReadWeights().
void LoadWeights(Network& network, const std::filesystem::path& path);

// The file of weights that the [model] section names for a run to begin with (`weights`); "": none.
std::string InitialWeightsFile(const Params& section);

// LoadWeights for a run that begins with what another dataset has taught: where the file has no
// head, or one of another number of classes, the network keeps its own. Counts of batches that the
// file lacks stay 0, as in PyTorch, which did not always have them. Returns a line for people.
std::string LoadInitialWeights(Network& network, const std::filesystem::path& path);

// The network's state under torchvision's names; `load_state_dict(load_file(path), strict=True)`
// takes it. Written atomically.
void SaveWeights(const Network& network, const std::filesystem::path& path,
                 const std::map<std::string, std::string>& metadata);

}  // namespace millrace::model
