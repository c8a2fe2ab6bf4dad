// Normalisation on a device: what CopyToCpu does on the way, for pixels that are there as bytes.
#pragma once

#include <ATen/core/Tensor.h>

#include "stages/normalize.h"

namespace millrace::stages {

// Channel statistics as tensors on a device, made once for many batches.
class DeviceNormalizer {
 public:
  DeviceNormalizer(const ChannelStatistics& statistics, c10::Device device);

  // images = (bytes / 255 - mean) / std, each operation in float32 as IEEE 754 rounds it, the
  // result rounded to the type of `images`: for float32 the bits of Normalize() (normalize.h).
  // `bytes` is uint8 [N, H, W, 3], `images` [N, 3, H, W] in channels-last memory, both on the
  // device; the work is queued on the current stream.
  void operator()(const at::Tensor& bytes, const at::Tensor& images) const;

 private:
  // Divisors are tensors because ATen multiplies by the reciprocal of a number.
  at::Tensor top_;   // 255
  at::Tensor mean_;  // [3]
  at::Tensor std_;   // [3]
};

}  // namespace millrace::stages
