// Batch normalisation on a GPU together with what follows it: kernels of our own that pass over
// memory as seldom as can be.
//
// In 16 bits they round once, where ATen's operations round each. The same numbers give the same
// bits. In training the statistics are those of the batch, the running ones follow, and gradients
// reach `x`, the weights and `residual`; otherwise the running statistics are used. What comes out
// has the type of `x`, channels last. Nothing waits for the device. All throw Error when a kernel
// cannot be compiled or launched. REQUIRES: TakesFusedNorm(x, training)
#pragma once

#include <ATen/core/Tensor.h>

#include "model/layers.h"

namespace millrace::model {

// Whether the functions below take `x`: on a GPU, [N, C, H, W] in channels-last order, C a multiple
// of 8, float32 or 16 bits, more than one pixel and fewer than 2^32; without gradients unless
// `training`. Never in programs without CUDA.
bool TakesFusedNorm(const at::Tensor& x, bool training);

at::Tensor FusedNorm(const BatchNorm2d& norm, const at::Tensor& x, bool training);

// With a rectifier behind it.
at::Tensor FusedNormRelu(const BatchNorm2d& norm, const at::Tensor& x, bool training);

// With a rectifier and torchvision's pooling behind it: the largest of 3 x 3 pixels, every other
// one, with a border of one. [N, C, (H + 1) / 2, (W + 1) / 2]
Fork FusedNormReluPool(const BatchNorm2d& norm, const at::Tensor& x, bool training);

// With `residual`, of the type and shape of `x`, added before the rectifier.
Fork FusedNormAddRelu(const BatchNorm2d& norm, const at::Tensor& x, const at::Tensor& residual,
                      bool training);

}  // namespace millrace::model
