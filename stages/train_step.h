// The train_step stage: what a lane's device computes from a batch, in training and in evaluation.
#pragma once

#include "model/loss.h"
#include "model/loss_scaler.h"
#include "model/network.h"
#include "model/precision.h"
#include "stages/device_batch.h"

namespace millrace::stages {

// Adds the gradients of a micro-batch's mean loss, times `share` (1 / micro-batches of the step),
// to those that have gathered; with a `scaler` (nullptr: none) also times its scale. Returns the
// mean loss, float32, one element, on the device. Waits for nothing there. Called from the lane's
// thread.
at::Tensor AccumulateGradients(model::Network& network, const model::Loss& loss, model::Amp amp,
                               const model::LossScaler* scaler, const DeviceBatch& batch,
                               double share);

// The answers to an evaluation's batch, on the device: what ClassificationCounts::Add takes.
struct Answers {
  at::Tensor logits;  // float32 [N, classes]
  at::Tensor losses;  // float32 [N]
};
Answers EvaluateBatch(model::Network& network, const model::Loss& loss, model::Amp amp,
                      const DeviceBatch& batch);

}  // namespace millrace::stages
