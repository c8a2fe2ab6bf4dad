// Decodes batches of planned pictures on the device: compressed segments in, finished uint8
// pictures out, with the very bytes that the CPU would have put there.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "base/gpu/kernel_module.h"
#include "stages/geometry.h"
#include "stages/gpu/batch_layout.h"
#include "stages/gpu/memory.h"
#include "stages/gpu/picture_plan.h"

namespace millrace::stages::gpu {

// What comes in and where it goes.
struct DecodeBatch {
  // `bytes` of each say where its own begin; `output` is its place in `out` and `results`.
  std::span<const Picture> pictures;
  std::span<const std::byte> bytes;  // of all pictures; pinned, or the copy is not asynchronous
  Size finished;                     // of every picture
  std::uint8_t* out = nullptr;       // on the device: uint8 [pictures, height, width, 3]
  PictureResult* results = nullptr;  // on the host, pinned: one a picture
};

// Everything is enqueued on one stream and nothing waits, but for a batch four before. Memory on
// the device (1.4 MB a crop of ImageNet and up to kMostWork, beside the bytes) is kept. One
// thread at a time. What fails throws Error; what goes wrong on the device is found by a later call
// of CUDA.
class DeviceDecoder {
 public:
  // For the device that is current, whose kernels it compiles (about a second). The stream must
  // outlive it.
  explicit DeviceDecoder(cudaStream_t stream);
  ~DeviceDecoder();
  DeviceDecoder(const DeviceDecoder&) = delete;
  DeviceDecoder& operator=(const DeviceDecoder&) = delete;

  // Enqueues the copy of the bytes, the kernels, and the copy of the results. `bytes`, `out` and
  // `results` must stay until the stream has passed here. Pictures whose result says that they are
  // damaged are the caller's to ask libjpeg-turbo for; of finished pictures it says nothing.
  void Decode(const DecodeBatch& batch);

  // To measure: calls `after` with the name of each step when it has been enqueued.
  void Observe(std::function<void(const char* step)> after) { after_ = std::move(after); }

 private:
  // Descriptions of a batch on their way to the device.
  struct Staging {
    PinnedMemory memory;
    cudaEvent_t copied = nullptr;
  };

  void DecodeChunk(const Chunk& chunk, const Work& work);
  void Run(const char* name, cudaKernel_t kernel, u32 blocks, const Work& work);
  void Done(const char* step) const {
    if (after_) after_(step);
  }

  // More pictures than this takes are decoded in several parts. [bytes]
  static constexpr u64 kMostWork = u64{1} << 30;

  const cudaStream_t stream_;
  const KernelModule module_;
  std::array<cudaKernel_t, kDealtKernels> dealt_{};
  cudaKernel_t digest_ = nullptr;
  BatchLayout layout_;
  std::array<Staging, 4> stagings_;
  std::size_t batches_ = 0;
  DeviceMemory description_;  // the pictures, then their first blocks
  DeviceMemory bytes_;
  DeviceMemory results_;
  DeviceMemory coefficients_;
  DeviceMemory samples_;
  DeviceMemory rgb_;
  DeviceMemory between_;
  DeviceMemory tables_;
  std::function<void(const char* step)> after_;
};

}  // namespace millrace::stages::gpu
