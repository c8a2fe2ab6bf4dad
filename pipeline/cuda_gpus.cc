#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <optional>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "pipeline/cuda_step_graph.h"
#include "pipeline/gpus.h"
#include "stages/copy_to_cuda.h"

namespace millrace::pipeline {
namespace {

// Copies into pinned memory, and an event behind them.
class CudaFetch final : public Fetch {
 public:
  explicit CudaFetch(const std::vector<at::Tensor>& tensors) {
    for (const at::Tensor& tensor : tensors) {
      host_.push_back(
          at::empty(tensor.sizes(),
                    at::TensorOptions(at::kCPU).dtype(tensor.scalar_type()).pinned_memory(true)));
      host_.back().copy_(tensor, /*non_blocking=*/true);
    }
    come_.record();
  }

  const std::vector<at::Tensor>& Wait() override {
    come_.synchronize();
    return host_;
  }

 private:
  std::vector<at::Tensor> host_;
  // A thread that waits for it sleeps: its core is wanted by those that make the next batches.
  at::cuda::CUDAEvent come_{cudaEventDisableTiming | cudaEventBlockingSync};
};

class CudaDevice final : public LaneDevice {
 public:
  explicit CudaDevice(CudaDeviceOptions options) : options_(std::move(options)) {}
  ~CudaDevice() override {
    // Nothing may be under way on memory that goes.
    const c10::cuda::CUDAGuard guard(Index());
    (void)cudaDeviceSynchronize();
  }

  c10::Device device() const override { return {c10::kCUDA, Index()}; }
  bool CopiesAhead() const override { return true; }

  bool Busy() const noexcept override {
    if (!entered_) return false;
    const bool busy = cudaStreamQuery(at::cuda::getCurrentCUDAStream()) == cudaErrorNotReady;
    // It is no error to the calls that follow.
    if (busy) (void)cudaGetLastError();
    return busy;
  }

  void Enter() override {
    c10::cuda::set_device(Index());
    // Weights came on the default stream.
    c10::cuda::device_synchronize();
    at::cuda::setCurrentCUDAStream(at::cuda::getStreamFromPool(/*isHighPriority=*/true));
    copy_.emplace(options_.statistics, options_.format, options_.decode_on_host);
    if (options_.record_steps) graph_.emplace(options_.deterministic, options_.tell);
    entered_ = true;
  }

  void Copy(stages::Slot& slot) override { copy_->Start(slot); }
  stages::DeviceBatch Take() override { return copy_->Take(); }
  void WaitUntilRead() override { copy_->WaitUntilRead(); }

  at::Tensor Repeat(const stages::DeviceBatch& batch, const Step& step,
                    const std::vector<at::Tensor>& state) override {
    return graph_ ? graph_->Run(batch, step, state) : step(batch);
  }

  std::unique_ptr<Fetch> StartFetch(std::vector<at::Tensor> tensors) override {
    return std::make_unique<CudaFetch>(tensors);
  }

 private:
  c10::DeviceIndex Index() const { return static_cast<c10::DeviceIndex>(options_.gpu); }

  const CudaDeviceOptions options_;
  bool entered_ = false;
  std::optional<stages::CopyToCuda> copy_;
  std::optional<CudaStepGraph> graph_;
};

}  // namespace

Gpus FindGpus() {
  Gpus gpus;
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result != cudaSuccess || count == 0) {
    (void)cudaGetLastError();
    gpus.problem = fmt::format(
        "CUDA shows this process no GPU ({})",
        result == cudaSuccess ? "CUDA_VISIBLE_DEVICES hides all" : cudaGetErrorString(result));
    return gpus;
  }
  for (int i = 0; i < count; ++i) {
    char bus_id[32] = "";
    if (cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), i) != cudaSuccess) (void)cudaGetLastError();
    gpus.bus_ids.emplace_back(bus_id);
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) {
      (void)cudaGetLastError();
      gpus.names.push_back("GPU");
      continue;
    }
    gpus.names.emplace_back(properties.name);
  }
  return gpus;
}

std::unique_ptr<LaneDevice> MakeCudaDevice(CudaDeviceOptions options) {
  return std::make_unique<CudaDevice>(std::move(options));
}

stages::PixelAllocator PinnedPixels(std::vector<int> gpus) {
  return [gpus = std::move(gpus)](std::size_t bytes) -> stages::PixelMemory {
    void* memory = nullptr;
    const c10::cuda::CUDAGuard on_first(static_cast<c10::DeviceIndex>(gpus.front()));
    const cudaError_t result = cudaHostAlloc(&memory, bytes, cudaHostAllocPortable);
    if (result != cudaSuccess) {
      (void)cudaGetLastError();
      Fail("{} of pinned memory for a batch cannot be had: {}; fewer pipeline.slots need less",
           FormatBytes(bytes), cudaGetErrorString(result));
    }
    return {static_cast<std::uint8_t*>(memory), [gpus](std::uint8_t* pixels) {
              // A run that ends early leaves copies under way.
              for (const int gpu : gpus) {
                const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(gpu));
                (void)cudaDeviceSynchronize();
              }
              (void)cudaFreeHost(pixels);
            }};
  };
}

}  // namespace millrace::pipeline
