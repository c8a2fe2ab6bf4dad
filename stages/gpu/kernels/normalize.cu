// The kernel that normalises, alone: pictures decoded on the host need it too.
#include "normalize.inl"

namespace millrace::stages::gpu {

extern "C" __global__ void __launch_bounds__(kThreads) Normalize(const NormalizeWork work) {
  __shared__ NormalizeShared shared;
  FillValues(work, threadIdx.x, &shared);
  __syncthreads();
  NormalizeValues(work, static_cast<u64>(blockIdx.x) * kThreads + threadIdx.x,
                  static_cast<u64>(gridDim.x) * kThreads, shared);
}

}  // namespace millrace::stages::gpu
