// Convolutions of many channels over small images, whose weight gradients a CPU computes faster tap
// by tap.
//
// A tap is one place of the kernel. What it meets of the images is, for all samples together, a
// matrix [places, in], and the gradient of its weights one product with the matrix [places, out] of
// gradients (the weight gradient of kn2row's forward pass: Vasudevan, Anderson and Gregg 2017,
// arXiv:1704.04428). Where images are small most taps lie over the border at some places; these are
// left out instead of multiplied by noughts.
//
// oneDNN's kernels for AVX2 work along rows of an image. What they refuse, such as 512 channels
// over 2 x 2 pixels, another of its ways does in 20 times as long as this one; over 7 x 7 pixels, a
// ResNet's last at 224 pixels, they take twice as long (tests/bench/tap_convolution_bench.cc).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace millrace::model {

// Whether it is worth it: float32 in channels last on a CPU without AVX-512, whose kernels do well;
// `weight` [out, in, kernel, kernel] with a gradient to compute, for a convolution without groups.
bool GainsByTaps(const at::Tensor& x, const at::Tensor& weight, std::int64_t stride);

// conv2d(x, weight, stride, padding kernel / 2), [N, out, ...], by ATen; the gradient of the weight
// is that of ATen's but for the order of its sums. `x` is [N, in, H, W]; the kernel is odd.
at::Tensor ConvolveWithTaps(const at::Tensor& x, const at::Tensor& weight, std::int64_t stride);

}  // namespace millrace::model
