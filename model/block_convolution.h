// The first convolution of a network over pictures, 7 x 7 with stride 2, as one that a GPU computes
// faster.
//
// Three channels are a fifth of the 16 that the GPU's matrix units take at a time. Blocks of 2 x 2
// pixels as channels of one pixel (the `conv0_space_to_depth` of MLPerf's ResNet for TPUs) make it
// 4 x 4 with stride 1 over 12 channels, which are filled up to 16: the same products in sums of
// another order, and products with noughts.
#pragma once

#include <ATen/core/Tensor.h>

namespace millrace::model {

// Whether it is worth it: [N, 3, H, W] of 16 bits on a GPU, channels last, height and width even,
// and weights of that convolution.
bool GainsByBlocks(const at::Tensor& images, const at::Tensor& weight);

// conv2d(images, weight, stride 2, padding 3), [N, out, H / 2, W / 2], with gradients for the
// weight alone. `weight` is [out, 3, 7, 7]. REQUIRES: images of 3 channels and of even height and
// width, which need no gradient
at::Tensor ConvolveByBlocks(const at::Tensor& images, const at::Tensor& weight);

}  // namespace millrace::model
