#include "pipeline/evaluation.h"

#include <ATen/ATen.h>

#include <cstring>
#include <utility>

#include "stages/train_step.h"

namespace millrace::pipeline {

Evaluation::Evaluation(model::Network& network, const model::Loss& loss, model::Amp amp,
                       LaneDevice& device)
    : network_(network), loss_(loss), amp_(amp), device_(device), counts_(network.classes()) {}

void Evaluation::Add(const stages::Slot& slot) {
  const stages::DeviceBatch batch = device_.Take();
  const stages::Answers answers = stages::EvaluateBatch(network_, loss_, amp_, batch);
  at::Tensor labels = at::empty({static_cast<std::int64_t>(slot.labels().size())}, at::kLong);
  std::memcpy(labels.data_ptr(), slot.labels().data(), slot.labels().size_bytes());
  pending_.push_back({.answers = device_.StartFetch({answers.logits, answers.losses}),
                      .labels = std::move(labels)});
  device_.WaitUntilRead();
  CountUntil(device_.CopiesAhead() ? 1 : 0);
}

model::ClassificationCounts Evaluation::Finish() {
  CountUntil(0);
  return std::exchange(counts_, model::ClassificationCounts(network_.classes()));
}

void Evaluation::CountUntil(std::size_t still_pending) {
  while (pending_.size() > still_pending) {
    const std::vector<at::Tensor>& answers = pending_.front().answers->Wait();
    counts_.Add(answers[0], pending_.front().labels, answers[1]);
    pending_.pop_front();
  }
}

EvaluationLane::EvaluationLane(std::unique_ptr<model::Network> network, const model::Loss& loss,
                               model::Amp amp, std::unique_ptr<LaneDevice> device,
                               std::function<void(std::uint64_t samples)> on_batch)
    : device_(std::move(device)),
      network_(std::move(network)),
      evaluation_(*network_, loss, amp, *device_),
      counts_(network_->classes()),
      on_batch_(std::move(on_batch)) {}

void EvaluationLane::Copy(stages::Slot& slot) {
  RunOnDevice(*device_, [&] {
    if (!std::exchange(entered_, true)) device_->Enter();
    device_->Copy(slot);
  });
}

void EvaluationLane::TrainStep(const stages::Slot& slot) {
  RunOnDevice(*device_, [&] {
    evaluation_.Add(slot);
    if (slot.batch().last) counts_ = evaluation_.Finish();
  });
  on_batch_(slot.batch().size);
}

}  // namespace millrace::pipeline
