// Compares two runs by what they left in their folders: the same run or not, and where they part.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/batch_comparison.h"

namespace millrace::pipeline {

// A setting, or an entry of environment.json, that the runs do not share.
struct DifferingValue {
  std::string name;
  std::string a;
  std::string b;
};

// Whether a setting of a recipe, by its key, enters neither batches nor weights, or only says when
// results are told.
bool IsOfNoConsequence(std::string_view setting);

// What first tells the runs apart.
enum class Evidence : std::uint8_t {
  kBatches,       // the samples of a step
  kLearningRate,  // the samples are the same
  kLoss,          // samples and learning rates are
  kWeights,       // losses are, too
  kEvaluation,    // so are the weights
  kLength,        // one run ends where the other goes on
};
std::string_view EvidenceName(Evidence evidence);

// Steps are counted from 1, as in metrics.jsonl.
struct Parting {
  Evidence evidence = Evidence::kBatches;
  // The last step after which the runs tell the same, and the first after which they do not; the
  // step at which they part lies behind the one and is at most the other.
  std::uint64_t after_step = 0;
  std::uint64_t step = 0;
  std::optional<Stage> stage;             // nothing: none is to be named
  std::optional<DifferingSample> sample;  // of batches, where they could be made again
  std::string text;                       // for people
};

struct RunComparison {
  std::uint64_t steps = 0;  // done by A
  std::string digest;       // of A behind them: over batches and losses
  // That may be why the runs differ. What does not enter results (workers, trackers, names) is left
  // out.
  std::vector<DifferingValue> settings;
  std::vector<DifferingValue> environment;
  std::optional<Parting> parting;  // none: the same run

  bool same() const { return !parting; }
};

// The same are runs whose digests are equal at every step that both tell of, as are their results,
// and whose newest checkpoints hold the same step and the same weights, bit for bit. Where batches
// differ they are made again to find the sample. Throws Error for a folder that holds no run, is
// damaged, or has no checkpoint though everything else is equal.
RunComparison CompareRuns(const std::filesystem::path& a, const std::filesystem::path& b);

}  // namespace millrace::pipeline
