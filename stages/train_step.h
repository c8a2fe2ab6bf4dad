// The train_step stage: what a lane's device computes from a batch, in training and in evaluation.
#pragma once

#include "model/loss.h"
#include "model/metrics.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "stages/device_batch.h"

namespace millrace::stages {

// Adds the gradients of a micro-batch's mean loss, times `share` (1 / micro-batches of the step),
// to those that have gathered; returns the mean loss. Called from the lane's thread.
double AccumulateGradients(model::Network& network, const model::Loss& loss,
                           const DeviceBatch& batch, double share);

// Adds a batch to the exact counts of an evaluation. Called from the lane's thread.
void EvaluateBatch(model::Network& network, const model::Loss& loss, const DeviceBatch& batch,
                   model::ClassificationCounts& counts);

}  // namespace millrace::stages
