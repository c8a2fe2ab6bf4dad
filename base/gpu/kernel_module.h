// Kernels of our own on a GPU: compiled from their text by NVRTC for the device that is there, so
// that building millrace needs no CUDA toolkit and one program fits every device.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/gpu/cuda_error.h"
#include "base/gpu/kernel_source.h"

namespace millrace {

// Machine code (a cubin) of the source called `main`, which may include the others, for devices of
// a compute capability (90 means 9.0). Multiplications and additions stay apart, so that floating
// point gives what the CPU computes. Needs no device. Throws Error with the compiler's log.
std::string CompileKernels(std::span<const KernelSource> sources, std::string_view main,
                           int compute_capability);

// Where a kernel runs and on how many threads.
struct LaunchShape {
  dim3 blocks;
  dim3 threads;                  // of a block
  std::size_t shared_bytes = 0;  // of a block, beside what the kernel declares
};

// The kernels of one source on the device that is current when it is made (about a second). They
// go with it: nothing of it may be running then. Any thread may launch.
class KernelModule {
 public:
  KernelModule(std::span<const KernelSource> sources, std::string_view main);
  ~KernelModule();
  KernelModule(const KernelModule&) = delete;
  KernelModule& operator=(const KernelModule&) = delete;

  // A kernel declared as extern "C" __global__. Throws Error when there is none of that name.
  cudaKernel_t Find(const char* name) const;

 private:
  cudaLibrary_t library_ = nullptr;
};

// Enqueues a kernel. `arguments` have exactly the types of its parameters. Throws Error when it
// cannot be launched; what goes wrong while it runs is found by a later call of CUDA.
template <typename... Arguments>
void Launch(cudaKernel_t kernel, const LaunchShape& shape, cudaStream_t stream,
            Arguments... arguments) {
  std::array<void*, sizeof...(Arguments)> pointers{static_cast<void*>(&arguments)...};
  RequireCuda(cudaLaunchKernel(static_cast<const void*>(kernel), shape.blocks, shape.threads,
                               pointers.data(), shape.shared_bytes, stream),
              "a kernel cannot be launched");
}

}  // namespace millrace
