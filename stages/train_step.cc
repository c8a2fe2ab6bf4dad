#include "stages/train_step.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

namespace millrace::stages {

double AccumulateGradients(model::Network& network, const model::Loss& loss,
                           const DeviceBatch& batch, double share) {
  const at::Tensor logits = network.Forward(batch.images, /*training=*/true);
  const at::Tensor mean = loss.Mean(logits, batch.labels);
  (share == 1.0 ? mean : mean * share).backward();
  return mean.item<double>();
}

void EvaluateBatch(model::Network& network, const model::Loss& loss, const DeviceBatch& batch,
                   model::ClassificationCounts& counts) {
  const c10::InferenceMode inference;
  const at::Tensor logits = network.Forward(batch.images, /*training=*/false);
  counts.Add(logits, batch.labels, loss.PerSample(logits, batch.labels));
}

}  // namespace millrace::stages
