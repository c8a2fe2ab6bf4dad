#include "pipeline/lane.h"

#include <ATen/ATen.h>

#include <utility>

#include "stages/train_step.h"

namespace millrace::pipeline {
namespace {

// Often enough to find a faulty device before much is lost; reading all weights once costs a
// fraction of one update.
constexpr std::uint64_t kStepsBetweenComparisons = 100;

model::Network& Evaluated(const Lane::Parts& parts) {
  return parts.average ? parts.average->network() : *parts.network;
}

}  // namespace

Lane::Lane(Parts parts) : parts_(std::move(parts)) {
  for (const auto& [phase, wanted] : parts_.evaluations) {
    evaluations_.try_emplace(phase, Evaluated(parts_), parts_.loss, parts_.amp, *parts_.device,
                             wanted);
  }
  parts_.group.Synchronize(*parts_.network);
  for (const auto& parameter : parts_.network->parameters())
    gradients_.push_back(parameter.tensor.grad());
  for (const auto& buffer : parts_.network->buffers()) buffers_.push_back(buffer.tensor);
  if (parts_.average) {
    for (const auto& buffer : parts_.average->network().buffers())
      buffers_.push_back(buffer.tensor);
  }
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
  const std::lock_guard turn(parts_.group.turn());
  if (ended_) return;
  try {
    RunOnDevice(*parts_.device, [&] {
      if (slot.batch().phase == stages::Phase::kTrain) {
        Train(slot);
      } else {
        Evaluate(slot);
      }
    });
  } catch (...) {
    parts_.group.Close();
    throw;
  }
}

void Lane::Train(const stages::Slot& slot) {
  const stages::Batch& at = slot.batch();
  const bool first = at.micro_batch == 0;
  if (first) {
    unfinished_.push_back({.step = at.step, .losses = {}, .digest = 0, .weights = {}});
    parts_.optimizer->SetLearningRate(parts_.run.LearningRate(at.step));
  }
  UnfinishedStep& report = unfinished_.back();
  stages::DeviceBatch batch = parts_.device->Take();
  if (!parts_.mixing.empty()) {
    batch.mix = stages::MixTensor(parts_.mixing.Plan(at, slot.picture()))
                    .to(parts_.device->device(), /*non_blocking=*/true);
  }
  sample_ids_.clear();
  // Copies of a sample leave out parts of their own: ids are far smaller than that.
  constexpr int kCopyBits = 48;
  for (std::uint32_t i = 0; i < at.size; ++i) {
    const stages::SampleState& sample = slot.sample(i);
    sample_ids_.push_back(sample.sample_id | std::uint64_t{sample.copy} << kCopyBits);
  }
  parts_.network->DrawParts(at.epoch, sample_ids_);
  at::Tensor loss;
  if (first && at.last && parts_.group.world_size() == 1) {
    const auto step = [this](const stages::DeviceBatch& given) {
      at::Tensor mean = Accumulate(given, /*first=*/true);
      Update();
      return mean;
    };
    loss = parts_.device->Repeat(batch, step, state_);
  } else if (at.last) {
    parts_.group.Average(at.step, [&] { loss = Accumulate(batch, first); });
    Update();
  } else if (parts_.network->sync_batch_norm()) {
    parts_.group.Accumulate(at.step, [&] { loss = Accumulate(batch, first); });
  } else {
    loss = Accumulate(batch, first);
  }
  if (at.last && parts_.average) parts_.average->Follow(static_cast<std::int64_t>(at.step));
  report.losses.push_back(parts_.device->StartFetch({loss}));
  report.digest += slot.Digest();
  parts_.device->WaitUntilRead();
  if (!at.last) return;

  if (parts_.group.world_size() > 1 && (at.step + 1) % kStepsBetweenComparisons == 0) {
    report.weights = parts_.device->StartFetch({SumsOfWeights(*parts_.network)});
  }
  if (parts_.run.EvaluatesAfter(at.step + 1)) parts_.group.ShareFirst(at.step, buffers_);
  const bool wanted = !CopiesAhead() || parts_.run.NeedsWeightsAfter(at.step);
  // The last one to be finished may be where the others say that the run is to end.
  while (unfinished_.size() > (wanted || interrupted_ ? 0 : 1)) {
    FinishOldestStep(unfinished_.size() == 1);
  }
  ended_ = interrupted_;
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

void Lane::FinishOldestStep(bool weights_are_of_it) {
  const UnfinishedStep oldest = std::move(unfinished_.front());
  unfinished_.pop_front();
  StepReport mine{.digest = oldest.digest, .interrupted = parts_.run.Interrupted(oldest.step + 1)};
  for (const auto& loss : oldest.losses) mine.loss += loss->Wait()[0].item<double>();
  if (oldest.weights) mine.weights = HashOfSums(oldest.weights->Wait()[0]);
  const std::vector<StepReport> reports = parts_.group.Gather(oldest.step, mine);

  LaneRun::FinishedStep finished{.step = oldest.step};
  for (const StepReport& report : reports) {
    finished.loss += report.loss;
    finished.batch_digest += report.digest;
    interrupted_ = interrupted_ || report.interrupted;
  }
  finished.loss /= static_cast<double>(reports.size()) * parts_.accumulation;
  if (parts_.lane != 0) return;
  const LaneState state = State();
  finished.interrupted = interrupted_;
  if (weights_are_of_it) finished.state = &state;
  parts_.run.FinishStep(finished);
}

void Lane::Evaluate(const stages::Slot& slot) {
  const bool first_rank = parts_.group.rank() == 0;
  const stages::Batch& at = slot.batch();
  Evaluation& evaluation = evaluations_.at(at.phase);
  evaluation.Add(slot);
  if (first_rank && !parts_.run.ContinueEvaluation(at, State())) {
    ended_ = true;
    return;
  }
  if (!at.last) return;
  model::EvaluationResult result = evaluation.Finish();
  parts_.group.Collect(at.step, parts_.run.EvaluatingRanks(at.phase), result);
  if (first_rank) ended_ = !parts_.run.FinishEvaluation(at, result, State());
}

LaneState Lane::State() const {
  return {.network = *parts_.network,
          .optimizer = *parts_.optimizer,
          .scaler = parts_.scaler.get(),
          .average = parts_.average ? &parts_.average->network() : nullptr};
}

}  // namespace millrace::pipeline
