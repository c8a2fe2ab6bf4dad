#include "pipeline/batch_plan.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/format.h"

namespace millrace::pipeline {

using stages::Batch;
using stages::Phase;

BatchPlan::BatchPlan(const BatchPlanOptions& options)
    : options_(options), step_(options.first_step) {
  MILLRACE_CHECK(options.lanes > 0 && options.first_rank + options.lanes <= options.world_size);
  for (const auto& [phase, samples] : {std::pair(Phase::kTrainEval, options.train_eval_samples),
                                       std::pair(Phase::kEvaluate, options.evaluate_samples)}) {
    if (samples == 0) continue;
    const std::uint64_t size = options.evaluate_per_device;
    validation_.push_back(
        {.phase = phase, .samples = samples, .batches = (samples + size - 1) / size});
  }
  evaluation_ = validation_.size();
  if (options.evaluate_only || options.evaluate_first) Validate();
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
  if (validation_.empty() || steps_done == 0) return false;
  if (steps_done == total_steps_) return true;
  if (steps_done % steps_per_epoch_ != 0 || options_.validate_every_epochs == 0) return false;
  return steps_done / steps_per_epoch_ % options_.validate_every_epochs == 0;
}

PlannedEvaluation BatchPlan::evaluation(Phase phase) const {
  for (const PlannedEvaluation& evaluation : validation_) {
    if (evaluation.phase == phase) return evaluation;
  }
  return {.phase = phase};
}

void BatchPlan::Validate() {
  evaluation_ = 0;
  evaluation_batch_ = 0;
}

std::optional<Batch> BatchPlan::Next() {
  for (; evaluation_ < validation_.size(); ++evaluation_, evaluation_batch_ = 0) {
    if (const auto batch = NextOf(validation_[evaluation_])) return batch;
  }
  return NextTraining();
}

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
    if (EvaluatesAfter(step_)) Validate();
  }
  return batch;
}

std::optional<Batch> BatchPlan::NextOf(const PlannedEvaluation& evaluation) {
  // Dealt round by round: in each round every rank of the world has at most one batch.
  const auto lane = static_cast<std::uint32_t>(evaluation_batch_ % options_.lanes);
  const std::uint64_t round = evaluation_batch_ / options_.lanes;
  const std::uint64_t index = round * options_.world_size + options_.first_rank + lane;
  // Ranks are dealt in ascending order, so that no later lane of this round has one either.
  if (index >= evaluation.batches) return std::nullopt;
  ++evaluation_batch_;
  const std::uint64_t first = index * options_.evaluate_per_device;
  const std::uint64_t epoch =
      step_ == 0 || options_.evaluate_only ? 0 : (step_ - 1) / steps_per_epoch_;
  return Batch{
      .sequence = sequence_++,
      .phase = evaluation.phase,
      .lane = lane,
      .epoch = static_cast<std::uint32_t>(epoch),
      .step = step_,
      .first_position = first,
      .size = static_cast<std::uint32_t>(
          std::min<std::uint64_t>(options_.evaluate_per_device, evaluation.samples - first)),
      .last = index + options_.world_size >= evaluation.batches,
  };
}

}  // namespace millrace::pipeline
