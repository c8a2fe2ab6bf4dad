#include "pipeline/lane.h"

#include <ATen/ATen.h>

#include <utility>

#include "stages/train_step.h"

namespace millrace::pipeline {

Lane::Lane(Parts parts)
    : parts_(std::move(parts)),
      evaluation_(*parts_.network, parts_.loss, parts_.amp, *parts_.device) {
  for (const auto& parameter : parts_.network->parameters())
    gradients_.push_back(parameter.tensor.grad());
  for (const auto& buffer : parts_.network->buffers()) buffers_.push_back(buffer.tensor);
  const auto add_state = [this](const std::vector<model::NamedTensor>& list) {
    for (const auto& entry : list) state_.push_back(entry.tensor);
  };
  add_state(parts_.network->state());
  add_state(parts_.optimizer->StateTensors());
  if (parts_.scaler) add_state(parts_.scaler->StateTensors());
}

void Lane::Copy(stages::Slot& slot) {
  RunOnDevice(*parts_.device, [&] {
    if (!std::exchange(entered_, true)) parts_.device->Enter();
    parts_.device->Copy(slot);
  });
}

void Lane::TrainStep(const stages::Slot& slot) {
  RunOnDevice(*parts_.device, [&] {
    if (slot.batch().phase == stages::Phase::kTrain) {
      Train(slot);
    } else {
      Evaluate(slot);
    }
  });
}

void Lane::Train(const stages::Slot& slot) {
  const stages::Batch& at = slot.batch();
  const bool first = at.micro_batch == 0;
  LaneReport& report = Report(parts_.lane, at.step);
  if (first) {
    report = {};
    parts_.optimizer->SetLearningRate(parts_.run.LearningRate(at.step));
  }
  const stages::DeviceBatch batch = parts_.device->Take();
  const bool alone = first && at.last && parts_.group.lanes() == 1;
  at::Tensor loss;
  if (alone) {
    const auto step = [this](const stages::DeviceBatch& given) {
      at::Tensor mean = Accumulate(given, /*first=*/true);
      Update();
      return mean;
    };
    loss = parts_.device->Repeat(batch, step, state_);
  } else {
    loss = Accumulate(batch, first);
  }
  report.losses.push_back(parts_.device->StartFetch({loss}));
  report.digests.push_back(slot.Digest());
  parts_.device->WaitUntilRead();
  if (!at.last) return;

  if (!alone) {
    parts_.group.Average(parts_.lane, gradients_);
    Update();
  }
  if (parts_.run.EvaluatesAfter(at.step + 1)) parts_.group.ShareFirst(parts_.lane, buffers_);
  if (parts_.lane != 0) return;

  unfinished_.push_back(at.step);
  const bool settle = !CopiesAhead() || parts_.run.NeedsWeightsAfter(at.step);
  while (unfinished_.size() > (settle ? 0 : 1)) {
    FinishOldestStep(settle && unfinished_.size() == 1);
  }
}

at::Tensor Lane::Accumulate(const stages::DeviceBatch& batch, bool first) {
  if (first) parts_.optimizer->ZeroGradients();
  return stages::AccumulateGradients(*parts_.network, parts_.loss, parts_.amp, parts_.scaler.get(),
                                     batch, 1.0 / parts_.accumulation);
}

void Lane::Update() {
  if (!parts_.scaler) {
    parts_.optimizer->Step();
    return;
  }
  parts_.scaler->Unscale(gradients_);
  parts_.optimizer->Step(parts_.scaler->found_inf());
  parts_.scaler->Update();
}

LaneReport& Lane::Report(std::size_t lane, std::uint64_t step) const {
  auto& reports = parts_.reports[lane];
  return reports[step % reports.size()];
}

void Lane::FinishOldestStep(bool weights_are_of_it) {
  const std::uint64_t step = unfinished_.front();
  unfinished_.pop_front();
  double loss_sum = 0;
  std::vector<std::uint64_t> digests;  // in the order of the global batch's pieces
  const std::size_t lanes = parts_.reports.size();
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    double lane_sum = 0;
    for (const auto& loss : Report(lane, step).losses) lane_sum += loss->Wait()[0].item<double>();
    loss_sum += lane_sum;
  }
  for (std::uint32_t micro_batch = 0; micro_batch < parts_.accumulation; ++micro_batch) {
    for (std::size_t lane = 0; lane < lanes; ++lane)
      digests.push_back(Report(lane, step).digests[micro_batch]);
  }
  const double pieces = static_cast<double>(lanes) * parts_.accumulation;
  const LaneState state{
      .network = *parts_.network, .optimizer = *parts_.optimizer, .scaler = parts_.scaler.get()};
  parts_.run.FinishStep(step, loss_sum / pieces, digests, weights_are_of_it ? &state : nullptr);
}

void Lane::Evaluate(const stages::Slot& slot) {
  const bool last = slot.batch().last;
  evaluation_.Add(slot);
  parts_.run.CountEvaluated(slot.batch().size);
  if (last) parts_.run.AddEvaluation(evaluation_.Finish());
  if (parts_.lane == 0) {
    parts_.run.ContinueEvaluation(last, {.network = *parts_.network,
                                         .optimizer = *parts_.optimizer,
                                         .scaler = parts_.scaler.get()});
  }
}

}  // namespace millrace::pipeline
