#include "stages/gpu/device_normalize.h"

#include <algorithm>

#include "base/gpu/cuda_error.h"
#include "stages/gpu/device_kernels.h"

namespace millrace::stages::gpu {
namespace {

// Blocks of 256 threads that a multiprocessor takes.
constexpr int kBlocksTogetherThere = 8;

}  // namespace

DeviceNormalize::DeviceNormalize(const ChannelStatistics& statistics)
    : module_(DeviceKernels(), "normalize.cu"),
      kernel_(module_.Find("Normalize")),
      statistics_(statistics) {
  int device = 0;
  int multiprocessors = 0;
  RequireCuda(cudaGetDevice(&device), "there is no GPU");
  RequireCuda(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device),
              "the GPU's multiprocessors");
  most_blocks_ = static_cast<u64>(multiprocessors * kBlocksTogetherThere);
}

void DeviceNormalize::operator()(const std::uint8_t* nhwc, std::size_t pictures, std::size_t pixels,
                                 Layout layout, Output output, void* out,
                                 cudaStream_t stream) const {
  if (pictures * pixels == 0) return;
  NormalizeWork work{.nhwc = nhwc,
                     .values = pictures * pixels * kChannels,
                     .plane = layout == Layout::kNchw ? pixels : 0,
                     .mean = {},
                     .std = {},
                     .output = output,
                     .out = out};
  std::copy(statistics_.mean.begin(), statistics_.mean.end(), work.mean);
  std::copy(statistics_.std.begin(), statistics_.std.end(), work.std);
  const u64 threads = (work.values + kValuesTogether - 1) / kValuesTogether;
  const u64 blocks = std::min<u64>((threads + kThreads - 1) / kThreads, most_blocks_);
  Launch(kernel_, {.blocks = dim3(static_cast<u32>(blocks)), .threads = dim3(kThreads)}, stream,
         work);
}

}  // namespace millrace::stages::gpu
