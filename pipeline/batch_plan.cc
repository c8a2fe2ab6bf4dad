#include "pipeline/batch_plan.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "base/format.h"

namespace millrace::pipeline {

using stages::Batch;
using stages::Phase;

BatchPlan::BatchPlan(const BatchPlanOptions& options)
    : options_(options), step_(options.first_step) {
  MILLRACE_CHECK(options.lanes > 0 && options.first_rank + options.lanes <= options.world_size);
  evaluating_ = options.evaluate_only || options.evaluate_first;
  if (options.evaluate_only) return;
  MILLRACE_CHECK(options.per_device > 0 && options.accumulation > 0);
  global_batch_ = std::uint64_t{options.per_device} * options.world_size * options.accumulation;
  steps_per_epoch_ = options.train_samples / global_batch_;
  if (steps_per_epoch_ == 0) {
    FailUsage(
        "the training split has {} samples, fewer than one global batch of {} (batch.per_device {} "
        "x {} "
        "devices x accumulation {}): make batch.per_device smaller",
        FormatCount(options.train_samples), FormatCount(global_batch_), options.per_device,
        options.world_size, options.accumulation);
  }
  total_steps_ = steps_per_epoch_ * options.epochs;
  if (options.max_steps > 0) total_steps_ = std::min(total_steps_, options.max_steps);
}

bool BatchPlan::EvaluatesAfter(std::uint64_t steps_done) const {
  if (options_.evaluate_samples == 0 || steps_done == 0) return false;
  if (steps_done == total_steps_) return true;
  if (steps_done % steps_per_epoch_ != 0 || options_.validate_every_epochs == 0) return false;
  return steps_done / steps_per_epoch_ % options_.validate_every_epochs == 0;
}

std::optional<Batch> BatchPlan::Next() { return evaluating_ ? NextEvaluation() : NextTraining(); }

std::optional<Batch> BatchPlan::NextTraining() {
  if (step_ >= total_steps_) return std::nullopt;
  const auto lane = static_cast<std::uint32_t>(within_ % options_.lanes);
  const auto micro_batch = static_cast<std::uint32_t>(within_ / options_.lanes);
  const std::uint32_t piece = micro_batch * options_.world_size + options_.first_rank + lane;
  const std::uint64_t step_in_epoch = step_ % steps_per_epoch_;
  const Batch batch{
      .sequence = sequence_++,
      .phase = Phase::kTrain,
      .lane = lane,
      .epoch = static_cast<std::uint32_t>(step_ / steps_per_epoch_),
      .step = step_,
      .micro_batch = micro_batch,
      .piece = piece,
      .first_position = step_in_epoch * global_batch_ + std::uint64_t{piece} * options_.per_device,
      .size = options_.per_device,
      .global_batch = global_batch_,
      .last = micro_batch + 1 == options_.accumulation,
  };
  if (++within_ == std::uint64_t{options_.lanes} * options_.accumulation) {
    within_ = 0;
    ++step_;
    if (EvaluatesAfter(step_)) {
      evaluating_ = true;
      evaluation_batch_ = 0;
    }
  }
  return batch;
}

std::uint64_t BatchPlan::evaluation_batches() const {
  return (options_.evaluate_samples + options_.evaluate_per_device - 1) /
         options_.evaluate_per_device;
}

std::optional<Batch> BatchPlan::NextEvaluation() {
  // Dealt round by round: in each round every rank of the world has at most one batch.
  const std::uint64_t num_batches = evaluation_batches();
  const auto lane = static_cast<std::uint32_t>(evaluation_batch_ % options_.lanes);
  const std::uint64_t round = evaluation_batch_ / options_.lanes;
  const std::uint64_t index = round * options_.world_size + options_.first_rank + lane;
  if (index >= num_batches) {
    // Ranks are dealt in ascending order, so that no later lane of this round has one either.
    evaluating_ = false;
    return options_.evaluate_only ? std::nullopt : NextTraining();
  }
  ++evaluation_batch_;
  const std::uint64_t first = index * options_.evaluate_per_device;
  const std::uint64_t epoch =
      step_ == 0 || options_.evaluate_only ? 0 : (step_ - 1) / steps_per_epoch_;
  return Batch{
      .sequence = sequence_++,
      .phase = Phase::kEvaluate,
      .lane = lane,
      .epoch = static_cast<std::uint32_t>(epoch),
      .step = step_,
      .first_position = first,
      .size = static_cast<std::uint32_t>(
          std::min<std::uint64_t>(options_.evaluate_per_device, options_.evaluate_samples - first)),
      .last = index + options_.world_size >= num_batches,
  };
}

}  // namespace millrace::pipeline
