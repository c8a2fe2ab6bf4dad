#include "pipeline/cpu_device.h"

#include <utility>

#include "model/threads.h"

namespace millrace::pipeline {
namespace {

class Fetched final : public Fetch {
 public:
  explicit Fetched(std::vector<at::Tensor> tensors) : tensors_(std::move(tensors)) {}
  const std::vector<at::Tensor>& Wait() override { return tensors_; }

 private:
  std::vector<at::Tensor> tensors_;
};

}  // namespace

CpuDevice::CpuDevice(const stages::ChannelStatistics& statistics, int threads,
                     stages::ImageFormat format)
    : threads_(threads), copy_(statistics, format) {}

c10::Device CpuDevice::device() const { return c10::kCPU; }

void CpuDevice::Enter() { model::SetComputeThreads(threads_); }

void CpuDevice::Copy(stages::Slot& slot) { batch_ = copy_(slot); }

stages::DeviceBatch CpuDevice::Take() { return batch_; }

at::Tensor CpuDevice::Repeat(const stages::DeviceBatch& batch, const Step& step,
                             const std::vector<at::Tensor>&) {
  return step(batch);
}

std::unique_ptr<Fetch> CpuDevice::StartFetch(std::vector<at::Tensor> tensors) {
  return std::make_unique<Fetched>(std::move(tensors));
}

}  // namespace millrace::pipeline
