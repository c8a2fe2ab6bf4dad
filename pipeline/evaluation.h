// Evaluation on one lane: answers to its batches, taken up as they come back from the device.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "model/evaluation_result.h"
#include "model/loss.h"
#include "model/network.h"
#include "model/precision.h"
#include "pipeline/graph.h"
#include "pipeline/lane_device.h"
#include "pipeline/lane_group.h"

namespace millrace::pipeline {

// Counts every batch once. A device that computes while others are prepared is asked for its
// answers one batch later, so that it does not wait for their counting. On the lane's thread.
class Evaluation {
 public:
  // `wanted`: of the whole evaluation.
  Evaluation(model::Network& network, const model::Loss& loss, model::Amp amp, LaneDevice& device,
             const model::EvaluationResult::Options& wanted);

  // Queues the batch of `slot`, which the device gives next. Afterwards the slot is free.
  void Add(const stages::Slot& slot);
  // Of all batches since the last call.
  model::EvaluationResult Finish();

 private:
  struct Pending {
    std::unique_ptr<Fetch> answers;
    at::Tensor labels;
    std::vector<std::uint64_t> ids;
  };
  void CountUntil(std::size_t still_pending);

  model::Network& network_;
  const model::Loss& loss_;
  const model::Amp amp_;
  LaneDevice& device_;
  std::deque<Pending> pending_;
  const model::EvaluationResult::Options wanted_;
  model::EvaluationResult result_;
};

// What a lane does that only evaluates.
class EvaluationLane final : public LaneWork {
 public:
  struct Parts {
    std::unique_ptr<LaneDevice> device;
    std::unique_ptr<model::Network> network;
    const model::Loss& loss;
    model::Amp amp = model::Amp::kOff;
    model::EvaluationResult::Options wanted;              // of the whole evaluation
    LaneGroup& group;                                     // made with this network
    std::uint32_t evaluating_ranks = 1;                   // so many have batches, from rank 0 on
    std::function<void(std::uint64_t samples)> on_batch;  // told of the samples of each batch
  };
  explicit EvaluationLane(Parts parts);

  bool CopiesAhead() const override { return parts_.device->CopiesAhead(); }
  bool Busy() const noexcept override { return parts_.device->Busy(); }
  void Copy(stages::Slot& slot) override;
  void TrainStep(const stages::Slot& slot) override;

  // Once the last batch is through: of all its batches; on rank 0 of those of all ranks.
  const model::EvaluationResult& result() const { return result_; }

 private:
  Parts parts_;
  Evaluation evaluation_;
  model::EvaluationResult result_;
  bool entered_ = false;
};

}  // namespace millrace::pipeline
