// Batch normalisation in training over the batches of all ranks.
//
// As PyTorch's SyncBatchNorm: mean and variance are those of all ranks' N, H and W together, the
// running statistics follow them, and the gradient of `x` has the sums over all ranks in it. The
// gradients of weight and bias are this rank's own; a GradientReducer averages them like all
// others.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/layers.h"
#include "model/process_group.h"

namespace millrace::model {

// y, of the type, shape and memory format of `x`, [N, C, H, W] of any sizes but C on each rank, on
// the group's device; 16 bits are computed in float32. Statistics are added up in the order of the
// ranks: they are the same bits on every rank, whatever the timing. All ranks call it for the same
// layers in the same order, on one thread each, and so do their backward passes, in which the ranks
// talk once more: `ranks` outlives those. Errors, of both: LostRank.
at::Tensor SyncNorm(const BatchNorm2d& norm, const at::Tensor& x, ProcessGroup& ranks);

}  // namespace millrace::model
