// Memory for the device's work that is kept and grows as needed.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>

namespace millrace::stages::gpu {

// On the device, in the order of a stream: what was enqueued there before still sees the memory
// that it had. Contents are lost when it grows.
class DeviceMemory {
 public:
  explicit DeviceMemory(cudaStream_t stream) : stream_(stream) {}
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // At least `bytes`, which are not initialised. Throws Error when the device has too little.
  void Reserve(std::size_t bytes);

  template <typename Element>
  Element* as() const {
    return static_cast<Element*>(data_);
  }

 private:
  cudaStream_t stream_;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// On the host, where the device reads and writes without the processor. Contents are lost when it
// grows; nothing may be using it then.
class PinnedMemory {
 public:
  // At least `bytes`, which are not initialised. Throws Error when there is too little.
  void Reserve(std::size_t bytes);

  std::byte* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(std::byte* data) const { cudaFreeHost(data); }
  };

  std::unique_ptr<std::byte, Free> data_;
  std::size_t bytes_ = 0;
};

}  // namespace millrace::stages::gpu
