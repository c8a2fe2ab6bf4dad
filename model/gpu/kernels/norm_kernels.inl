// The kernels of batch normalisation for numbers of the type `Element`, which the file that
// includes this one names.
#include "norm_pool.inl"

namespace millrace::model::gpu {

extern "C" __global__ void __launch_bounds__(kThreads) Statistics(const StatisticsWork work) {
  __shared__ MomentsShared shared;
  GatherMoments<Element>(work, blockIdx.x, blockIdx.y, threadIdx.x, &shared);
  for (u32 left = kThreads / work.grid.columns; left > 1; left = Half(left)) {
    __syncthreads();
    HalveMoments(work.grid, threadIdx.x, left, &shared);
  }
  __syncthreads();
  StoreMoments<Element>(work, blockIdx.x, blockIdx.y, threadIdx.x, shared);
}

extern "C" __global__ void __launch_bounds__(kFinishThreads)
    FinishStatistics(const FinishWork work) {
  __shared__ FinishShared shared;
  FinishSlice(work, blockIdx.x, threadIdx.x, &shared);
  for (u32 left = kSlices; left > 1; left = Half(left)) {
    __syncthreads();
    HalveSlices(threadIdx.x, left, &shared);
  }
  __syncthreads();
  StoreCoefficients(work, blockIdx.x, threadIdx.x, shared);
}

extern "C" __global__ void __launch_bounds__(kThreads) RunningCoefficients(const RunningWork work) {
  StoreRunningCoefficients(work, blockIdx.x * kThreads + threadIdx.x);
}

// Behind the sums of every thread.
MILLRACE_KERNEL void StoreAllSums(const Grid& grid, float* partials, SumsShared* shared) {
  for (u32 left = kThreads / grid.columns; left > 1; left = Half(left)) {
    __syncthreads();
    HalveSums(grid, threadIdx.x, left, shared);
  }
  __syncthreads();
  StoreSums(grid, partials, blockIdx.x, blockIdx.y, threadIdx.x, *shared);
}

template <After kAfter>
MILLRACE_KERNEL void Reduce(const ReduceWork& work) {
  __shared__ SumsShared shared;
  GatherSums<Element, kAfter>(work, blockIdx.x, blockIdx.y, threadIdx.x, &shared);
  StoreAllSums(work.grid, work.partials, &shared);
}

extern "C" __global__ void __launch_bounds__(kFinishThreads)
    FinishGradient(const FinishGradientWork work) {
  __shared__ FinishShared shared;
  FinishSumsSlice(work, blockIdx.x, threadIdx.x, &shared);
  for (u32 left = kSlices; left > 1; left = Half(left)) {
    __syncthreads();
    HalveSlices(threadIdx.x, left, &shared);
  }
  __syncthreads();
  StoreGradients(work, blockIdx.x, threadIdx.x, shared);
}

extern "C" __global__ void __launch_bounds__(kThreads) Apply(const ApplyWork work) {
  ApplyNorm<Element, After::kNothing>(work, blockIdx.x, blockIdx.y, threadIdx.x);
}
extern "C" __global__ void __launch_bounds__(kThreads) ApplyRelu(const ApplyWork work) {
  ApplyNorm<Element, After::kRelu>(work, blockIdx.x, blockIdx.y, threadIdx.x);
}
extern "C" __global__ void __launch_bounds__(kThreads) ApplyAddRelu(const ApplyWork work) {
  ApplyNorm<Element, After::kAddAndRelu>(work, blockIdx.x, blockIdx.y, threadIdx.x);
}

extern "C" __global__ void __launch_bounds__(kThreads) Sums(const ReduceWork work) {
  Reduce<After::kNothing>(work);
}
extern "C" __global__ void __launch_bounds__(kThreads) SumsRelu(const ReduceWork work) {
  Reduce<After::kRelu>(work);
}
extern "C" __global__ void __launch_bounds__(kThreads) SumsAddRelu(const ReduceWork work) {
  Reduce<After::kAddAndRelu>(work);
}

extern "C" __global__ void __launch_bounds__(kThreads) Gradient(const InputWork work) {
  ApplyGradient<Element, After::kNothing>(work, blockIdx.x, blockIdx.y, threadIdx.x);
}
extern "C" __global__ void __launch_bounds__(kThreads) GradientRelu(const InputWork work) {
  ApplyGradient<Element, After::kRelu>(work, blockIdx.x, blockIdx.y, threadIdx.x);
}

extern "C" __global__ void __launch_bounds__(kThreads, 2) ApplyReluPool(const PoolWork work) {
  ApplyPool<Element>(work, blockIdx.x, blockIdx.y, threadIdx.x);
}
extern "C" __global__ void __launch_bounds__(kThreads, 2)
    SumsReluPool(const PoolGradientWork work) {
  __shared__ SumsShared shared;
  GatherPoolSums<Element>(work, blockIdx.x, blockIdx.y, threadIdx.x, &shared);
  StoreAllSums(work.grid, work.partials, &shared);
}
extern "C" __global__ void __launch_bounds__(kThreads, 2)
    GradientReluPool(const PoolGradientWork work) {
  ApplyPoolGradient<Element>(work, blockIdx.x, blockIdx.y, threadIdx.x);
}

}  // namespace millrace::model::gpu
