// A lane on the CPU: a replica of the network, its optimizer, and what they do with each batch.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "model/loss.h"
#include "model/metrics.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/replica_group.h"
#include "pipeline/graph.h"
#include "pipeline/lane_run.h"
#include "stages/copy.h"

namespace millrace::pipeline {

// What the lanes of one step tell lane 0: each lane writes its own entry before the group meets,
// lane 0 reads all after it. Two entries by the parity of the step, because a lane may be one step
// ahead of lane 0.
struct LaneReport {
  double loss_sum = 0;                 // over micro-batches
  std::vector<std::uint64_t> digests;  // of its micro-batches
};
using LaneReports = std::vector<std::array<LaneReport, 2>>;  // by lane

class CpuLane final : public LaneWork {
 public:
  struct Parts {
    std::uint32_t lane = 0;
    int threads = 1;                 // of ATen, for this lane
    std::uint32_t accumulation = 1;  // micro-batches per step
    std::unique_ptr<model::Network> network;
    std::unique_ptr<model::Optimizer> optimizer;
    const model::Loss& loss;
    stages::CopyToCpu copy;
    LaneRun& run;
    model::ReplicaGroup& group;
    LaneReports& reports;
  };
  explicit CpuLane(Parts parts);

  bool CopiesAhead() const override { return false; }
  void Copy(const stages::Slot& slot) override;
  void TrainStep(const stages::Slot& slot) override;

 private:
  void Train(const stages::Slot& slot);
  void Evaluate(const stages::Slot& slot);

  Parts parts_;
  std::vector<at::Tensor> gradients_;
  std::vector<at::Tensor> buffers_;
  stages::DeviceBatch batch_;
  model::ClassificationCounts counts_;  // of the evaluation under way, this lane's batches
  bool threads_set_ = false;
};

}  // namespace millrace::pipeline
