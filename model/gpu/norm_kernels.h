// The kernels of batch normalisation, compiled for one device and one type of numbers.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>
#include <cuda_runtime_api.h>

#include "base/gpu/kernel_module.h"
#include "model/gpu/kernels/norm_work.inl"

namespace millrace::model::gpu {

// Any thread may enqueue, on the device it is made for. Throws Error when a launch fails.
class NormKernels {
 public:
  // Those of a device (the one that is current) and type. The first call compiles them, which takes
  // seconds; they stay until the process ends. REQUIRES: HasNormKernels(type)
  static const NormKernels& Of(c10::Device device, c10::ScalarType type);

  NormKernels(const NormKernels&) = delete;
  NormKernels& operator=(const NormKernels&) = delete;

  // How `rows` x `channels` are dealt out. REQUIRES: channels are a multiple of kVector
  Grid GridOf(u64 rows, u32 channels) const;

  void Statistics(const StatisticsWork& work, cudaStream_t stream) const;
  void Finish(const FinishWork& work, cudaStream_t stream) const;
  void Running(const RunningWork& work, cudaStream_t stream) const;
  void Apply(After after, const ApplyWork& work, cudaStream_t stream) const;
  void ApplyPool(const PoolWork& work, cudaStream_t stream) const;
  void Reduce(After after, const ReduceWork& work, cudaStream_t stream) const;
  void ReducePool(const PoolGradientWork& work, cudaStream_t stream) const;
  void Finish(const FinishGradientWork& work, cudaStream_t stream) const;
  // With kAddAndRelu `work.g` is what Reduce() has left.
  void Gradient(After after, const InputWork& work, cudaStream_t stream) const;
  void GradientPool(const PoolGradientWork& work, cudaStream_t stream) const;

 private:
  explicit NormKernels(c10::ScalarType type);

  const KernelModule module_;
  const cudaKernel_t statistics_;
  const cudaKernel_t finish_statistics_;
  const cudaKernel_t running_;
  const cudaKernel_t apply_[3];  // in the order of After
  const cudaKernel_t sums_[3];
  const cudaKernel_t finish_gradient_;
  const cudaKernel_t gradient_[3];
  const cudaKernel_t apply_pool_;
  const cudaKernel_t sums_pool_;
  const cudaKernel_t gradient_pool_;
  u32 most_blocks_ = 0;  // that run at once, about
};

// Whether there are kernels for numbers of that type.
bool HasNormKernels(c10::ScalarType type);

}  // namespace millrace::model::gpu
