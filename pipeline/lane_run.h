// What the lanes ask of the run that they work for, and what they tell it.
#pragma once

#include <cstdint>
#include <vector>

#include "model/loss_scaler.h"
#include "model/metrics.h"
#include "model/network.h"
#include "model/optimizer.h"

namespace millrace::pipeline {

// What a checkpoint holds of a lane.
struct LaneState {
  const model::Network& network;
  const model::Optimizer& optimizer;
  const model::LossScaler* scaler = nullptr;  // nullptr: none
};

class LaneRun {
 public:
  virtual ~LaneRun() = default;

  // Any lane.
  virtual double LearningRate(std::uint64_t step) const = 0;
  virtual bool EvaluatesAfter(std::uint64_t steps_done) const = 0;

  // Lane 0, when it has given its device the update of `step`: whether the weights as they are then
  // may be wanted (for a checkpoint, an evaluation, the end, an interruption). It then finishes all
  // steps up to this one before it goes on. Other steps it may finish when their losses have come,
  // some steps later.
  virtual bool NeedsWeightsAfter(std::uint64_t step) const = 0;

  // Lane 0, for every update in order: `loss` is the mean over the global batch, `batch_digests`
  // are those of all its pieces in order. `state`: as it is after this update; nullptr when the
  // device is further already.
  virtual void FinishStep(std::uint64_t step, double loss,
                          const std::vector<std::uint64_t>& batch_digests,
                          const LaneState* state) = 0;

  // Any lane, after each batch of an evaluation, and with all its counts after its last one.
  virtual void CountEvaluated(std::uint64_t samples) = 0;
  virtual void AddEvaluation(const model::ClassificationCounts& lane_counts) = 0;

  // Lane 0, after each of its evaluation batches. `last`: the evaluation ends with it.
  virtual void ContinueEvaluation(bool last, const LaneState& state) = 0;
};

}  // namespace millrace::pipeline
