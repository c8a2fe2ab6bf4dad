#include "stages/train_step.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include "stages/mix.h"

namespace millrace::stages {

at::Tensor AccumulateGradients(model::Network& network, const model::Loss& loss, model::Amp amp,
                               const model::LossScaler* scaler, const DeviceBatch& batch,
                               double share) {
  at::Tensor mean;
  {
    const model::Autocast autocast(amp, batch.images.device().type());
    // The loss needs float32: it is a difference of nearly equal numbers where a network is sure.
    const at::Tensor logits = network.Forward(MixedImages(batch), /*training=*/true).to(at::kFloat);
    mean = loss.Mean(logits, MixedTargets(batch, logits.size(1)));
  }
  at::Tensor wanted = share == 1.0 ? mean : mean * share;
  if (scaler != nullptr) wanted = scaler->Scale(wanted);
  wanted.backward();
  return mean.detach();
}

Answers EvaluateBatch(model::Network& network, const model::Loss& loss, model::Amp amp,
                      const DeviceBatch& batch) {
  const c10::InferenceMode inference;
  const model::Autocast autocast(amp, batch.images.device().type());
  Answers answers;
  answers.logits = network.Forward(batch.images, /*training=*/false).to(at::kFloat);
  answers.losses = loss.PerSample(answers.logits, batch.labels);
  return answers;
}

}  // namespace millrace::stages
