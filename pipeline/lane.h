// A lane: a replica of the network on one device, its optimizer, and what they do with each batch.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "model/loss.h"
#include "model/loss_scaler.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/precision.h"
#include "model/replica_group.h"
#include "pipeline/evaluation.h"
#include "pipeline/graph.h"
#include "pipeline/lane_device.h"
#include "pipeline/lane_run.h"

namespace millrace::pipeline {

// What the lanes of one step tell lane 0: each lane writes its own entry before the group meets,
// lane 0 reads all after it. An entry is used again some steps later, because lane 0 reads a step's
// losses when they have come, and other lanes may be one step ahead of it.
struct LaneReport {
  std::vector<std::unique_ptr<Fetch>> losses;  // of its micro-batches
  std::vector<std::uint64_t> digests;          // the same
};
using LaneReports = std::vector<std::array<LaneReport, 4>>;  // by lane; by step, modulo

class Lane final : public LaneWork {
 public:
  struct Parts {
    std::uint32_t lane = 0;
    std::uint32_t accumulation = 1;  // micro-batches per step
    std::unique_ptr<LaneDevice> device;
    std::unique_ptr<model::Network> network;
    std::unique_ptr<model::Optimizer> optimizer;
    std::unique_ptr<model::LossScaler> scaler;  // nullptr: none
    model::Amp amp = model::Amp::kOff;
    const model::Loss& loss;
    LaneRun& run;
    model::ReplicaGroup& group;
    LaneReports& reports;
  };
  explicit Lane(Parts parts);

  bool CopiesAhead() const override { return parts_.device->CopiesAhead(); }
  bool Busy() const noexcept override { return parts_.device->Busy(); }
  void Copy(stages::Slot& slot) override;
  void TrainStep(const stages::Slot& slot) override;

 private:
  void Train(const stages::Slot& slot);
  void Evaluate(const stages::Slot& slot);

  at::Tensor Accumulate(const stages::DeviceBatch& batch, bool first);
  void Update();
  LaneReport& Report(std::size_t lane, std::uint64_t step) const;
  // Tells the run of the oldest step that it does not know yet.
  void FinishOldestStep(bool weights_are_of_it);

  Parts parts_;
  std::vector<at::Tensor> gradients_;
  std::vector<at::Tensor> buffers_;
  std::vector<at::Tensor> state_;         // all that a step changes but for gradients
  std::deque<std::uint64_t> unfinished_;  // lane 0: steps of which the run does not know yet
  Evaluation evaluation_;
  bool entered_ = false;
};

}  // namespace millrace::pipeline
