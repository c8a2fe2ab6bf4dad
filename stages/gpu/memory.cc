#include "stages/gpu/memory.h"

#include <fmt/format.h>

#include "base/gpu/cuda_error.h"

namespace millrace::stages::gpu {
namespace {

// Batches differ by some percent, so that the first few would each make it grow.
std::size_t WithSpare(std::size_t bytes) { return bytes + bytes / 4; }

}  // namespace

DeviceMemory::~DeviceMemory() {
  if (data_ != nullptr) cudaFreeAsync(data_, stream_);
}

void DeviceMemory::Reserve(std::size_t bytes) {
  if (bytes <= bytes_) return;
  if (data_ != nullptr) {
    RequireCuda(cudaFreeAsync(data_, stream_), "memory of the GPU cannot be freed");
    data_ = nullptr;
    bytes_ = 0;
  }
  const std::size_t wanted = WithSpare(bytes);
  RequireCuda(cudaMallocAsync(&data_, wanted, stream_),
              fmt::format("the GPU has no {} MiB for the decoder", wanted >> 20));
  bytes_ = wanted;
}

void PinnedMemory::Reserve(std::size_t bytes) {
  if (bytes <= bytes_) return;
  data_.reset();
  bytes_ = 0;
  const std::size_t wanted = WithSpare(bytes);
  void* data = nullptr;
  RequireCuda(cudaMallocHost(&data, wanted),
              fmt::format("there are no {} KiB of pinned memory", wanted >> 10));
  data_.reset(static_cast<std::byte*>(data));
  bytes_ = wanted;
}

}  // namespace millrace::stages::gpu
