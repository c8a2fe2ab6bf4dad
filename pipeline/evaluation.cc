#include "pipeline/evaluation.h"

#include <ATen/ATen.h>

#include <cstring>
#include <utility>

#include "stages/train_step.h"

namespace millrace::pipeline {

Evaluation::Evaluation(model::Network& network, const model::Loss& loss, model::Amp amp,
                       LaneDevice& device, const model::EvaluationResult::Options& wanted)
    : network_(network),
      loss_(loss),
      amp_(amp),
      device_(device),
      wanted_(wanted),
      result_(network.classes(), wanted) {}

void Evaluation::Add(const stages::Slot& slot) {
  const stages::DeviceBatch batch = device_.Take();
  const stages::Answers answers = stages::EvaluateBatch(network_, loss_, amp_, batch);
  at::Tensor labels = at::empty({static_cast<std::int64_t>(slot.labels().size())}, at::kLong);
  std::memcpy(labels.data_ptr(), slot.labels().data(), slot.labels().size_bytes());
  std::vector<std::uint64_t> ids;
  for (std::uint32_t i = 0; i < slot.batch().size; ++i) {
    ids.push_back(slot.batch().first_position + i);
  }
  pending_.push_back({.answers = device_.StartFetch({answers.logits, answers.losses}),
                      .labels = std::move(labels),
                      .ids = std::move(ids)});
  device_.WaitUntilRead();
  CountUntil(device_.CopiesAhead() ? 1 : 0);
}

model::EvaluationResult Evaluation::Finish() {
  CountUntil(0);
  return std::exchange(result_, model::EvaluationResult(network_.classes(), wanted_));
}

void Evaluation::CountUntil(std::size_t still_pending) {
  while (pending_.size() > still_pending) {
    const Pending& oldest = pending_.front();
    const std::vector<at::Tensor>& answers = oldest.answers->Wait();
    result_.Add(oldest.ids, answers[0], oldest.labels, answers[1]);
    pending_.pop_front();
  }
}

EvaluationLane::EvaluationLane(Parts parts)
    : parts_(std::move(parts)),
      evaluation_(*parts_.network, parts_.loss, parts_.amp, *parts_.device, parts_.wanted),
      result_(parts_.network->classes(), parts_.wanted) {}

void EvaluationLane::Copy(stages::Slot& slot) {
  RunOnDevice(*parts_.device, [&] {
    if (!std::exchange(entered_, true)) parts_.device->Enter();
    parts_.device->Copy(slot);
  });
}

void EvaluationLane::TrainStep(const stages::Slot& slot) {
  const std::lock_guard turn(parts_.group.turn());
  try {
    RunOnDevice(*parts_.device, [&] {
      evaluation_.Add(slot);
      if (!slot.batch().last) return;
      result_ = evaluation_.Finish();
      parts_.group.Collect(slot.batch().step, parts_.evaluating_ranks, result_);
    });
  } catch (...) {
    parts_.group.Close();
    throw;
  }
  parts_.on_batch(slot.batch().size);
}

}  // namespace millrace::pipeline
