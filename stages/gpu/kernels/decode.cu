// The kernels of the decoder: where the device begins, and the barriers between the phases. The
// host starts them in this order, each on Work.
#include "color.inl"
#include "digest.inl"
#include "entropy.inl"
#include "inverse_dct.inl"
#include "resize.inl"
#include "work.inl"

namespace millrace::stages::gpu {

// A batch has about 8 warps for each multiprocessor, so that registers need not be spared.
extern "C" __global__ void __launch_bounds__(kThreads, 4) Entropy(const Work work) {
  __shared__ EntropyShared shared;
  BeginCodes(work, blockIdx.x, threadIdx.x, &shared);
  __syncthreads();
  FillCodes(work, blockIdx.x, threadIdx.x, &shared);
  __syncthreads();
  DecodeSegment(work, blockIdx.x, threadIdx.x, shared);
}

extern "C" __global__ void __launch_bounds__(kThreads) InverseDct(const Work work) {
  __shared__ InverseDctShared shared;
  FindBlocks(work, blockIdx.x, threadIdx.x, &shared);
  __syncthreads();
  LoadCoefficients(work, threadIdx.x, &shared);
  __syncthreads();
  TransformColumns(work, threadIdx.x, &shared);
  __syncthreads();
  StoreSamples(work, threadIdx.x, shared);
}

extern "C" __global__ void __launch_bounds__(kThreads) Color(const Work work) {
  ConvertPixels(work, blockIdx.x, threadIdx.x);
}

extern "C" __global__ void __launch_bounds__(kThreads) Tables(const Work work) {
  MakeTables(work, blockIdx.x, threadIdx.x);
}

extern "C" __global__ void __launch_bounds__(kThreads) FirstPass(const Work work) {
  ResizeFirst(work, blockIdx.x, threadIdx.x);
}

extern "C" __global__ void __launch_bounds__(kThreads) LastPass(const Work work) {
  ResizeLast(work, blockIdx.x, threadIdx.x);
}

extern "C" __global__ void __launch_bounds__(kThreads) Digest(const Work work) {
  const Picture& picture = work.pictures[blockIdx.x];
  if (picture.kind != Kind::kSegments) return;
  __shared__ DigestShared shared;
  const u8* image = work.out + static_cast<u64>(picture.output) * work.image_bytes;
  BeginDigest(threadIdx.x, &shared);
  __syncthreads();
  for (u32 first = 0; first < Scramblings(work.image_bytes); first += kSums) {
    SumStripes(image, work.image_bytes, first, threadIdx.x, &shared);
    __syncthreads();
    Scramble(work.image_bytes, first, threadIdx.x, &shared);
    __syncthreads();
  }
  AddRest(image, work.image_bytes, threadIdx.x, &shared);
  __syncthreads();
  if (threadIdx.x == 0) {
    work.results[picture.output].digest = EndDigest(work.image_bytes, shared);
  }
}

}  // namespace millrace::stages::gpu
