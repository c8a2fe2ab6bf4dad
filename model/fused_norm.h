// Batch normalisation of a training step on a GPU together with what follows it: kernels of our own
// that pass over memory as seldom as can be.
//
// In 16 bits they round once, where ATen's operations round each. The same numbers give the same
// bits.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/layers.h"

namespace millrace::model {

// Whether FusedNorm() takes `x`: on a GPU, [N, C, H, W] in channels-last order, C a multiple of 8,
// float32 or 16 bits, more than one pixel. Never in programs without CUDA.
bool TakesFusedNorm(const at::Tensor& x);

// What `norm` makes of `x` with the statistics of the batch, of its type and shape; the running
// statistics follow. Gradients reach `x`, the weights and `residual`. Nothing waits for the device.
// Throws Error when a kernel cannot be compiled or launched. REQUIRES: TakesFusedNorm(x)
at::Tensor FusedNorm(const BatchNorm2d& norm, const at::Tensor& x);

// With a rectifier behind it.
at::Tensor FusedNormRelu(const BatchNorm2d& norm, const at::Tensor& x);

// With a rectifier and torchvision's pooling behind it: the largest of 3 x 3 pixels, every other
// one, with a border of one. [N, C, (H + 1) / 2, (W + 1) / 2], of fewer than 2^32 pixels.
Fork FusedNormReluPool(const BatchNorm2d& norm, const at::Tensor& x);

// With `residual` (of the type, shape and order of x) added before the rectifier.
Fork FusedNormAddRelu(const BatchNorm2d& norm, const at::Tensor& x, const at::Tensor& residual);

}  // namespace millrace::model
