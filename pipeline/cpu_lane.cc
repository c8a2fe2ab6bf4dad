#include "pipeline/cpu_lane.h"

#include <ATen/ATen.h>

#include <utility>

#include "model/threads.h"
#include "stages/train_step.h"

namespace millrace::pipeline {

CpuLane::CpuLane(Parts parts) : parts_(std::move(parts)), counts_(parts_.network->classes()) {
  for (const auto& parameter : parts_.network->parameters())
    gradients_.push_back(parameter.tensor.grad());
  for (const auto& buffer : parts_.network->buffers()) buffers_.push_back(buffer.tensor);
}

void CpuLane::Copy(const stages::Slot& slot) {
  if (!std::exchange(threads_set_, true)) model::SetComputeThreads(parts_.threads);
  batch_ = parts_.copy(slot);
}

void CpuLane::TrainStep(const stages::Slot& slot) {
  if (slot.batch().phase == stages::Phase::kTrain) {
    Train(slot);
  } else {
    Evaluate(slot);
  }
}

void CpuLane::Train(const stages::Slot& slot) {
  const std::uint64_t step = slot.batch().step;
  LaneReport& report = parts_.reports[parts_.lane][step % 2];
  if (slot.batch().micro_batch == 0) {
    report = {};
    parts_.optimizer->ZeroGradients();
  }
  report.loss_sum +=
      stages::AccumulateGradients(*parts_.network, parts_.loss, batch_, 1.0 / parts_.accumulation);
  report.digests.push_back(slot.Digest());
  if (!slot.batch().last) return;

  parts_.group.Average(parts_.lane, gradients_);
  parts_.optimizer->Step(parts_.run.LearningRate(step));
  if (parts_.run.EvaluatesAfter(step + 1)) parts_.group.ShareFirst(parts_.lane, buffers_);
  if (parts_.lane != 0) return;

  double loss_sum = 0;
  std::vector<std::uint64_t> digests;  // in the order of the global batch's pieces
  for (std::size_t lane = 0; lane < parts_.reports.size(); ++lane) {
    loss_sum += parts_.reports[lane][step % 2].loss_sum;
  }
  for (std::uint32_t micro_batch = 0; micro_batch < parts_.accumulation; ++micro_batch) {
    for (const auto& lane_report : parts_.reports)
      digests.push_back(lane_report[step % 2].digests[micro_batch]);
  }
  const double pieces = static_cast<double>(parts_.reports.size()) * parts_.accumulation;
  parts_.run.FinishStep(step, loss_sum / pieces, digests, *parts_.network, *parts_.optimizer);
}

void CpuLane::Evaluate(const stages::Slot& slot) {
  stages::EvaluateBatch(*parts_.network, parts_.loss, batch_, counts_);
  parts_.run.CountEvaluated(slot.batch().size);
  if (slot.batch().last) {
    parts_.run.AddEvaluation(counts_);
    counts_ = model::ClassificationCounts(parts_.network->classes());
  }
  if (parts_.lane == 0) {
    parts_.run.ContinueEvaluation(slot.batch().last, *parts_.network, *parts_.optimizer);
  }
}

}  // namespace millrace::pipeline
