// The sequence of all batches of a run, training and evaluation interleaved, as a pure function of
// a few counters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "stages/batch.h"

namespace millrace::pipeline {

// Counts from which every batch of the run follows.
struct BatchPlanOptions {
  std::uint64_t train_samples = 0;
  // What a validation evaluates, one after the other; 0: nothing of that kind.
  std::uint64_t train_eval_samples = 0;
  std::uint64_t evaluate_samples = 0;
  std::uint32_t per_device = 0;  // training batch of one lane [samples]
  std::uint32_t evaluate_per_device = 0;
  std::uint32_t accumulation = 1;  // micro-batches per global step
  std::uint32_t lanes = 1;         // of this process
  std::uint32_t first_rank = 0;    // rank of this process's lane 0
  std::uint32_t world_size = 1;    // lanes of all processes
  std::uint32_t epochs = 0;
  std::uint64_t max_steps = 0;              // global steps of the whole run; 0: no limit
  std::uint32_t validate_every_epochs = 1;  // 0: only at the end
  std::uint64_t first_step = 0;             // global steps already done by a resumed run
  bool evaluate_first = false;              // begin with a validation of the state at first_step
  bool evaluate_only = false;  // one validation and nothing else; its batches have epoch 0
};

// Every sample of a loader once.
struct PlannedEvaluation {
  stages::Phase phase = stages::Phase::kEvaluate;
  std::uint64_t samples = 0;
  std::uint64_t batches = 0;  // all ranks together
};

// Global step s consumes the positions [s * G, (s + 1) * G) of its epoch, G = per_device *
// world_size * accumulation; what is left of an epoch beyond the last full global batch is not
// trained on in that epoch. A validation is a list of evaluations. Each covers every sample exactly
// once: batch b goes to rank b mod world_size and the last one may be short.
class BatchPlan {
 public:
  // Throws Error (exit code 2) when the training set holds no full global batch.
  explicit BatchPlan(const BatchPlanOptions& options);

  std::uint64_t global_batch() const { return global_batch_; }  // [samples]
  std::uint64_t steps_per_epoch() const { return steps_per_epoch_; }
  std::uint64_t total_steps() const { return total_steps_; }  // where the run ends

  // The evaluations that make a validation, in their order.
  const std::vector<PlannedEvaluation>& validation() const { return validation_; }
  // The one of this phase; one of no samples where there is none.
  PlannedEvaluation evaluation(stages::Phase phase) const;

  // Whether a validation follows when `steps_done` global steps are done.
  bool EvaluatesAfter(std::uint64_t steps_done) const;

  // The next batch of this process, in the order in which its lanes must receive them; none at the
  // end. Not thread-safe.
  std::optional<stages::Batch> Next();

 private:
  std::optional<stages::Batch> NextTraining();
  std::optional<stages::Batch> NextOf(const PlannedEvaluation& evaluation);
  void Validate();

  BatchPlanOptions options_;
  std::vector<PlannedEvaluation> validation_;
  std::uint64_t global_batch_ = 0;
  std::uint64_t steps_per_epoch_ = 0;
  std::uint64_t total_steps_ = 0;

  // Where Next() stands.
  std::uint64_t sequence_ = 0;
  std::uint64_t step_ = 0;              // global step whose batches are being dealt
  std::uint64_t within_ = 0;            // batches of this step already dealt (accumulation x lanes)
  std::size_t evaluation_ = 0;          // of validation_; behind its end: training
  std::uint64_t evaluation_batch_ = 0;  // next batch of this evaluation in this process
};

}  // namespace millrace::pipeline
