// The copy stage: brings a finished batch to the lane's device, as the float images that networks
// take.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "stages/device_batch.h"
#include "stages/normalize.h"
#include "stages/slot.h"

namespace millrace::stages {

// Copies for a CPU lane: one pass over the pixels normalises them, makes them float32 and writes
// them channels-last. Each slot has a buffer of its own here, so that a batch stays valid until its
// slot comes again. One thread at a time.
class CopyToCpu {
 public:
  explicit CopyToCpu(const ChannelStatistics& statistics) : statistics_(statistics) {}

  DeviceBatch operator()(const Slot& slot);

 private:
  ChannelStatistics statistics_;
  std::vector<at::Tensor> buffers_;  // by slot number; flat float32
};

}  // namespace millrace::stages
