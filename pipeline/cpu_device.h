// The CPU as a lane's device: every call has done its work when it returns.
#pragma once

#include "pipeline/lane_device.h"
#include "stages/copy.h"

namespace millrace::pipeline {

class CpuDevice final : public LaneDevice {
 public:
  // `threads`: how many ATen computes with, in the lane's thread. `format`: of type Float or
  // BFloat16.
  CpuDevice(const stages::ChannelStatistics& statistics, int threads,
            stages::ImageFormat format = {});

  c10::Device device() const override;
  bool CopiesAhead() const override { return false; }
  bool Busy() const noexcept override { return false; }
  void Enter() override;
  void Copy(stages::Slot& slot) override;
  stages::DeviceBatch Take() override;
  void WaitUntilRead() override {}
  at::Tensor Repeat(const stages::DeviceBatch& batch, const Step& step,
                    const std::vector<at::Tensor>& state) override;
  std::unique_ptr<Fetch> StartFetch(std::vector<at::Tensor> tensors) override;

 private:
  const int threads_;
  stages::CopyToCpu copy_;
  stages::DeviceBatch batch_;
};

}  // namespace millrace::pipeline
