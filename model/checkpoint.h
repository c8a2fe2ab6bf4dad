// Everything that a run needs to go on, in one safetensors file.
//
// Weights stand under their own names, their average along the training under "ema.<name>",
// optimizer state under "optimizer.<parameter>.<state>", a loss scaler's under "scaler.<state>";
// tensors of a device are written as they are on the CPU. The metadata holds whatever else the run
// keeps (texts; bytes that are not UTF-8 become U+FFFD), and two entries of this file's own: the
// format version and a hash over everything else, by which a damaged file is told from a whole one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/named_tensor.h"
#include "model/safetensors.h"

namespace millrace::model {

struct Checkpoint {
  std::vector<NamedTensor> weights;       // Network::state()
  std::vector<NamedTensor> optimizer;     // Optimizer::StateTensors(), without the file's prefix
  std::vector<NamedTensor> average = {};  // WeightAverage::network()'s state(); empty without one
  std::vector<NamedTensor> scaler = {};   // LossScaler::StateTensors(), the same; empty without one
  std::map<std::string, std::string> metadata;

  // The weights that are evaluated: the average where there is one.
  const std::vector<NamedTensor>& evaluated() const { return average.empty() ? weights : average; }
};

// Writes atomically: after a failure (Error) `path` is as it was. The same checkpoint gives the
// same bytes.
void WriteCheckpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

// Throws Error naming the file when it is no checkpoint, of a newer format, cut or damaged.
Checkpoint ReadCheckpoint(const std::filesystem::path& path);

// Names, as in the file, of the weights and averages that are not the same in both, bit for bit.
std::vector<std::string> DifferingWeights(const Checkpoint& a, const Checkpoint& b);

// ReadCheckpoint for a file that is already read.
bool IsCheckpoint(const TensorFile& file);
Checkpoint SplitCheckpoint(TensorFile file, const std::filesystem::path& path);

// "<folder>/step-00001234.safetensors"
std::filesystem::path CheckpointPath(const std::filesystem::path& folder, std::int64_t step);

struct FoundCheckpoint {
  std::filesystem::path path;
  std::int64_t step = 0;
  Checkpoint checkpoint;
};
struct CheckpointSearch {
  std::optional<FoundCheckpoint> newest;  // none: nothing valid there
  std::vector<std::string> skipped;       // why each newer file was passed over, newest first
};

// The checkpoint with the highest step in `folder` that reads without fault. A folder that is not
// there holds none.
CheckpointSearch FindNewestCheckpoint(const std::filesystem::path& folder);

// Takes the checkpoints of later steps than `step` out of the run: each is renamed to
// "superseded-<name>", which nothing here looks for or removes. Returns their new paths, newest
// first. Throws Error naming the file that could not be renamed; those before it have been.
std::vector<std::filesystem::path> SetAsideNewer(const std::filesystem::path& folder,
                                                 std::int64_t step);

// Removes all but the `keep` newest "step-*.safetensors" in `folder`, by their names alone, and
// what an interrupted write left behind. Throws Error. REQUIRES: keep >= 1, no write under way in
// `folder`
void PruneCheckpoints(const std::filesystem::path& folder, std::size_t keep);

}  // namespace millrace::model
