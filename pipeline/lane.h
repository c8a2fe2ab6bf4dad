// A lane: a replica of the network on one device, its optimizer, and what they do with each batch.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "model/loss.h"
#include "model/loss_scaler.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/precision.h"
#include "model/weight_average.h"
#include "pipeline/evaluation.h"
#include "pipeline/graph.h"
#include "pipeline/lane_device.h"
#include "pipeline/lane_group.h"
#include "pipeline/lane_run.h"
#include "stages/mix.h"

namespace millrace::pipeline {

class Lane final : public LaneWork {
 public:
  struct Parts {
    std::uint32_t lane = 0;          // its number in this process
    std::uint32_t accumulation = 1;  // micro-batches per step
    std::unique_ptr<LaneDevice> device;
    std::unique_ptr<model::Network> network;
    std::unique_ptr<model::Optimizer> optimizer;
    std::unique_ptr<model::LossScaler> scaler;  // nullptr: none
    // Of this network; it is evaluated in its place. nullptr: none.
    std::unique_ptr<model::WeightAverage> average = nullptr;
    model::Amp amp = model::Amp::kOff;
    // What is wanted of each evaluation, by its phase.
    std::map<stages::Phase, model::EvaluationResult::Options> evaluations = {};
    const model::Loss& loss;
    stages::Mixing mixing = {};  // of training batches
    LaneRun& run;
    LaneGroup& group;  // made with this network
  };
  explicit Lane(Parts parts);

  bool CopiesAhead() const override { return parts_.device->CopiesAhead(); }
  bool Busy() const noexcept override { return parts_.device->Busy(); }
  void Copy(stages::Slot& slot) override;
  void TrainStep(const stages::Slot& slot) override;

 private:
  // A step whose report the others do not know yet.
  struct UnfinishedStep {
    std::uint64_t step = 0;
    std::vector<std::unique_ptr<Fetch>> losses;  // of its micro-batches
    std::uint64_t digest = 0;                    // their sum
    std::unique_ptr<Fetch> weights;              // SumsOfWeights(); nullptr: not taken
  };

  void Train(const stages::Slot& slot);
  void Evaluate(const stages::Slot& slot);

  at::Tensor Accumulate(const stages::DeviceBatch& batch, bool first);
  void Update();
  // Exchanges reports of the oldest step that is not finished, and tells the run.
  void FinishOldestStep(bool weights_are_of_it);
  LaneState State() const;

  Parts parts_;
  std::vector<at::Tensor> gradients_;
  std::vector<at::Tensor> buffers_;        // of the average, too
  std::vector<at::Tensor> state_;          // all that a step changes but for gradients
  std::vector<std::uint64_t> sample_ids_;  // of the batch at hand
  std::deque<UnfinishedStep> unfinished_;
  std::map<stages::Phase, Evaluation> evaluations_;
  bool interrupted_ = false;  // all ranks know that the run is to end
  bool ended_ = false;        // and it has, behind the same step on all
  bool entered_ = false;
};

}  // namespace millrace::pipeline
