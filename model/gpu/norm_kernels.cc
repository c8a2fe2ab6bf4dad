#include "model/gpu/norm_kernels.h"

#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "model/gpu/norm_sources.h"

namespace millrace::model::gpu {
namespace {

// Of 256 threads, with the registers that they take.
constexpr u32 kBlocksOnMultiprocessor = 4;

const char* SourceOf(c10::ScalarType type) {
  switch (type) {
    case c10::ScalarType::BFloat16:
      return "norm_bfloat16.cu";
    case c10::ScalarType::Half:
      return "norm_float16.cu";
    case c10::ScalarType::Float:
      return "norm_float32.cu";
    default:
      return nullptr;
  }
}

u32 Multiprocessors() {
  int device = 0;
  int count = 0;
  RequireCuda(cudaGetDevice(&device), "there is no GPU");
  RequireCuda(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device),
              "the GPU's multiprocessors");
  return static_cast<u32>(count);
}

// Blocks beside and beneath one another.
LaunchShape ShapeOf(const Grid& grid) {
  const u32 columns = grid.channels / kVector;
  return {.blocks = dim3(grid.parts, (columns + grid.columns - 1) / grid.columns),
          .threads = dim3(kThreads)};
}

LaunchShape FinishShapeOf(const Grid& grid) {
  return {.blocks = dim3((grid.channels + kFinishChannels - 1) / kFinishChannels),
          .threads = dim3(kFinishThreads)};
}

}  // namespace

bool HasNormKernels(c10::ScalarType type) { return SourceOf(type) != nullptr; }

const NormKernels& NormKernels::Of(c10::Device device, c10::ScalarType type) {
  static std::mutex mutex;
  // Kept to the end: CUDA may be gone when static objects are destroyed.
  static auto& made =
      *new std::map<std::pair<int, c10::ScalarType>, std::unique_ptr<const NormKernels>>;
  const std::lock_guard lock(mutex);
  auto& kernels = made[{device.index(), type}];
  if (!kernels) kernels.reset(new NormKernels(type));
  return *kernels;
}

NormKernels::NormKernels(c10::ScalarType type)
    : module_(NormSources(), SourceOf(type)),
      statistics_(module_.Find("Statistics")),
      finish_statistics_(module_.Find("FinishStatistics")),
      running_(module_.Find("RunningCoefficients")),
      apply_{module_.Find("Apply"), module_.Find("ApplyRelu"), module_.Find("ApplyAddRelu")},
      sums_{module_.Find("Sums"), module_.Find("SumsRelu"), module_.Find("SumsAddRelu")},
      finish_gradient_(module_.Find("FinishGradient")),
      gradient_{module_.Find("Gradient"), module_.Find("GradientRelu"), module_.Find("Gradient")},
      apply_pool_(module_.Find("ApplyReluPool")),
      sums_pool_(module_.Find("SumsReluPool")),
      gradient_pool_(module_.Find("GradientReluPool")),
      most_blocks_(Multiprocessors() * kBlocksOnMultiprocessor) {}

Grid NormKernels::GridOf(u64 rows, u32 channels) const {
  MILLRACE_CHECK(rows > 0 && channels > 0 && channels % kVector == 0);
  return gpu::GridOf(rows, channels, most_blocks_);
}

void NormKernels::Statistics(const StatisticsWork& work, cudaStream_t stream) const {
  Launch(statistics_, ShapeOf(work.grid), stream, work);
}

void NormKernels::Finish(const FinishWork& work, cudaStream_t stream) const {
  Launch(finish_statistics_, FinishShapeOf(work.grid), stream, work);
}

void NormKernels::Running(const RunningWork& work, cudaStream_t stream) const {
  Launch(running_,
         {.blocks = dim3((work.channels + kThreads - 1) / kThreads), .threads = dim3(kThreads)},
         stream, work);
}

void NormKernels::Apply(After after, const ApplyWork& work, cudaStream_t stream) const {
  Launch(apply_[static_cast<int>(after)], ShapeOf(work.grid), stream, work);
}

void NormKernels::ApplyPool(const PoolWork& work, cudaStream_t stream) const {
  Launch(apply_pool_, ShapeOf(work.grid), stream, work);
}

void NormKernels::ReducePool(const PoolGradientWork& work, cudaStream_t stream) const {
  Launch(sums_pool_, ShapeOf(work.grid), stream, work);
}

void NormKernels::GradientPool(const PoolGradientWork& work, cudaStream_t stream) const {
  Launch(gradient_pool_, ShapeOf(work.grid), stream, work);
}

void NormKernels::Reduce(After after, const ReduceWork& work, cudaStream_t stream) const {
  Launch(sums_[static_cast<int>(after)], ShapeOf(work.grid), stream, work);
}

void NormKernels::Finish(const FinishGradientWork& work, cudaStream_t stream) const {
  Launch(finish_gradient_, FinishShapeOf(work.grid), stream, work);
}

void NormKernels::Gradient(After after, const InputWork& work, cudaStream_t stream) const {
  Launch(gradient_[static_cast<int>(after)], ShapeOf(work.grid), stream, work);
}

}  // namespace millrace::model::gpu
