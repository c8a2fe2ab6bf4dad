// What the lanes ask of the run that they work for, and what they tell it.
#pragma once

#include <cstdint>

#include "model/evaluation_result.h"
#include "model/loss_scaler.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "stages/batch.h"

namespace millrace::pipeline {

// What a checkpoint holds of a lane.
struct LaneState {
  const model::Network& network;
  const model::Optimizer& optimizer;
  const model::LossScaler* scaler = nullptr;  // nullptr: none
  const model::Network* average = nullptr;    // the same

  // The network that is evaluated.
  const model::Network& evaluated() const { return average != nullptr ? *average : network; }
};

class LaneRun {
 public:
  virtual ~LaneRun() = default;

  // Any lane, with the same answer to all lanes of all processes.
  virtual double LearningRate(std::uint64_t step) const = 0;
  virtual bool EvaluatesAfter(std::uint64_t steps_done) const = 0;
  // How many ranks, from 0 on, have batches of an evaluation of this phase.
  virtual std::uint32_t EvaluatingRanks(stages::Phase phase) const = 0;
  // When a lane has given its device the update of `step`: whether the weights as they are then
  // will be wanted (for a checkpoint, an evaluation, the end). It then finishes all steps up to
  // this one before it goes on. Other steps it may finish when their losses have come, some steps
  // later.
  virtual bool NeedsWeightsAfter(std::uint64_t step) const = 0;

  // Any lane: whether this process has been asked to end, when so many steps are done.
  virtual bool Interrupted(std::uint64_t steps_done) const = 0;

  // The first lane of a process, for every update in order.
  struct FinishedStep {
    std::uint64_t step = 0;
    double loss = 0;                 // mean over the global batch
    std::uint64_t batch_digest = 0;  // sum over its pieces (Slot::Digest)
    // Some process has been asked to end. All lanes end behind the first step with such a word
    // whose state there is.
    bool interrupted = false;
    // As it is after this update; nullptr when the device is further already.
    const LaneState* state = nullptr;
  };
  virtual void FinishStep(const FinishedStep& finished) = 0;

  // Rank 0, after each of its evaluation batches: whether the evaluation goes on.
  virtual bool ContinueEvaluation(const stages::Batch& batch, const LaneState& state) = 0;
  // Rank 0, after the last one of each evaluation, with what all ranks found. Returns whether the
  // run goes on.
  virtual bool FinishEvaluation(const stages::Batch& batch, const model::EvaluationResult& result,
                                const LaneState& state) = 0;
};

}  // namespace millrace::pipeline
