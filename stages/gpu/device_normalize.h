// Finished uint8 pictures on the device to what a network takes.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "base/gpu/kernel_module.h"
#include "stages/gpu/kernels/normalize.inl"
#include "stages/normalize.h"

namespace millrace::stages::gpu {

// float32 has the bits that Normalize() of stages/normalize.h makes on the CPU; bfloat16 and
// float16 are those rounded to nearest, to even in the middle. Any thread may enqueue.
class DeviceNormalize {
 public:
  // For the device that is current, whose kernel it compiles. REQUIRES: no std is 0
  explicit DeviceNormalize(const ChannelStatistics& statistics);

  // Enqueues pictures of `pixels` pixels each, which lie one behind the other on the device. Throws
  // Error when that fails. REQUIRES: `nhwc` begins at a multiple of 4 bytes, `out` of 16
  void operator()(const std::uint8_t* nhwc, std::size_t pictures, std::size_t pixels, Layout layout,
                  Output output, void* out, cudaStream_t stream) const;

 private:
  const KernelModule module_;
  const cudaKernel_t kernel_;
  const ChannelStatistics statistics_;
  u64 most_blocks_ = 0;  // that run at once, about
};

}  // namespace millrace::stages::gpu
