// What the lanes ask of the run that they work for, and what they tell it.
#pragma once

#include <cstdint>
#include <vector>

#include "model/metrics.h"
#include "model/network.h"
#include "model/optimizer.h"

namespace millrace::pipeline {

class LaneRun {
 public:
  virtual ~LaneRun() = default;

  // Any lane.
  virtual double LearningRate(std::uint64_t step) const = 0;
  virtual bool EvaluatesAfter(std::uint64_t steps_done) const = 0;

  // Lane 0, after every update: `loss` is the mean over the global batch, `batch_digests` are those
  // of all its pieces in order.
  virtual void FinishStep(std::uint64_t step, double loss,
                          const std::vector<std::uint64_t>& batch_digests,
                          const model::Network& network, const model::Optimizer& optimizer) = 0;

  // Any lane, after each batch of an evaluation, and with all its counts after its last one.
  virtual void CountEvaluated(std::uint64_t samples) = 0;
  virtual void AddEvaluation(const model::ClassificationCounts& lane_counts) = 0;

  // Lane 0, after each of its evaluation batches. `last`: the evaluation ends with it.
  virtual void ContinueEvaluation(bool last, const model::Network& network,
                                  const model::Optimizer& optimizer) = 0;
};

}  // namespace millrace::pipeline
