// What a run has done so far: everything beside weights and optimizer state that a checkpoint must
// hold.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace millrace::pipeline {

// One of the best evaluations so far, with its file in the run's best/ folder.
struct BestEntry {
  double top1 = 0;
  std::uint64_t step = 0;
  std::string file;
};

// What must be equal for a checkpoint to continue as the same run.
struct RunIdentity {
  std::string dataset_fingerprint;
  std::string model;
  std::uint64_t classes = 0;
  std::uint64_t seed = 0;
  std::uint64_t global_batch = 0;  // [samples]
};

// How sums were split up: another split gives the same numbers but for their last bits.
struct ComputeLayout {
  std::uint32_t lanes = 0;             // 0: nothing has been computed yet
  std::uint32_t threads_per_lane = 0;  // on the CPU
  std::string device = "cpu";          // "cpu", or the GPU's name

  bool operator==(const ComputeLayout&) const = default;
};

// The rolling hash over batches after one more, whose pieces' digests (Slot::Digest) add up to
// `batch_digest`.
std::uint64_t RollBatches(std::uint64_t batches, std::uint64_t batch_digest);

struct ProgressState {
  RunIdentity identity;
  ComputeLayout layout;             // of the steps done last
  std::uint64_t step = 0;           // global steps done
  std::uint64_t epoch = 0;          // full epochs done
  std::uint64_t position = 0;       // samples of the current epoch already consumed
  bool evaluation_pending = false;  // a validation of this state is due before the next step
  std::uint64_t batches = 0;        // rolling hash over all batches (RollBatches)
  std::uint64_t digest = 0;         // the same over batches and losses
  std::uint64_t metrics_bytes = 0;  // size of metrics.jsonl [bytes]
  std::vector<BestEntry> best;      // best first
  // Of early stopping: the best top-1 so far (-1: none), and the validations behind it.
  double best_top1 = -1;
  std::uint64_t validations_without_gain = 0;
  std::string config;  // the recipe as it took effect, TOML
  // SHA-256 of the files that the recipe names as model.torchscript and that its first step had its
  // weights from (model.weights); empty: none.
  std::string torchscript;
  std::string initial_weights;
  // Which run of a tracker this one is, as tracking::RunDescription takes it; empty: none.
  std::string tracker_run;

  std::map<std::string, std::string> ToMetadata() const;
  // Throws Error naming `source` and the entry that is missing or malformed.
  static ProgressState FromMetadata(const std::map<std::string, std::string>& metadata,
                                    const std::string& source);

  // Throws Error saying what differs and what to do when this state does not belong to a run of
  // `wanted`. At step 0 no sample has been drawn, so that seed and global batch may still be any.
  void RequireSameRun(const RunIdentity& wanted, const std::string& source) const;
};

}  // namespace millrace::pipeline
