#include "model/block_convolution.h"

#include <ATen/ATen.h>

#include "base/check.h"

namespace millrace::model {
namespace {

constexpr std::int64_t kColors = 3;
constexpr std::int64_t kKernel = 7;
constexpr std::int64_t kSide = 2;    // of a block [pixels]
constexpr std::int64_t kTaps = 4;    // of the convolution over blocks, each way
constexpr std::int64_t kBefore = 2;  // blocks of border, left and above
constexpr std::int64_t kBlockColors = kSide * kSide * kColors;
constexpr std::int64_t kChannels = 16;  // what cuDNN's kernels take without a copy: a multiple of 8

// [N, 16, H / 2 + 3, W / 2 + 3], channels last: with the border, whose blocks are noughts.
at::Tensor BlocksOf(const at::Tensor& images) {
  const std::int64_t height = images.size(2) / kSide;
  const std::int64_t width = images.size(3) / kSide;
  const std::int64_t border = kTaps - 1;
  const at::Tensor blocks =
      at::zeros({images.size(0), height + border, width + border, kChannels}, images.options());
  blocks.narrow(1, kBefore, height)
      .narrow(2, kBefore, width)
      .narrow(3, 0, kBlockColors)
      .unflatten(3, {kSide, kSide, kColors})
      .copy_(images.permute({0, 2, 3, 1})
                 .unflatten(2, {width, kSide})
                 .unflatten(1, {height, kSide})
                 .permute({0, 1, 3, 2, 4, 5}));
  return blocks.permute({0, 3, 1, 2});
}

// The windows of 7 begin in the middle of a block: one more tap before them, a nought.
at::Tensor BlockWeight(const at::Tensor& weight) {
  const at::Tensor even = at::constant_pad_nd(weight, {1, 0, 1, 0});
  const at::Tensor taps = even.reshape({weight.size(0), kColors, kTaps, kSide, kTaps, kSide})
                              .permute({0, 3, 5, 1, 2, 4})
                              .reshape({weight.size(0), kBlockColors, kTaps, kTaps});
  return at::constant_pad_nd(taps, {0, 0, 0, 0, 0, kChannels - kBlockColors});
}

}  // namespace

bool GainsByBlocks(const at::Tensor& images, const at::Tensor& weight) {
  return images.is_cuda() && images.element_size() == 2 && images.dim() == 4 &&
         images.size(1) == kColors && images.size(2) % kSide == 0 && images.size(3) % kSide == 0 &&
         images.is_contiguous(c10::MemoryFormat::ChannelsLast) && weight.dim() == 4 &&
         weight.size(1) == kColors && weight.size(2) == kKernel && weight.size(3) == kKernel;
}

at::Tensor ConvolveByBlocks(const at::Tensor& images, const at::Tensor& weight) {
  MILLRACE_CHECK(!images.requires_grad() && images.size(2) % kSide == 0 &&
                 images.size(3) % kSide == 0);
  return at::conv2d(BlocksOf(images), BlockWeight(weight));
}

}  // namespace millrace::model
