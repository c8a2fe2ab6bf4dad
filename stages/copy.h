// The copy stage: brings a finished batch to the lane's device, as the float images that networks
// take.
#pragma once

#include <ATen/core/Tensor.h>

#include "stages/device_batch.h"
#include "stages/normalize.h"
#include "stages/slot.h"

namespace millrace::stages {

// Copies for a CPU lane: one pass over the pixels normalises them, makes them float32 and writes
// them channels-last. They stay valid until the next copy, which takes the same memory. One thread
// at a time.
class CopyToCpu {
 public:
  explicit CopyToCpu(const ChannelStatistics& statistics) : statistics_(statistics) {}

  DeviceBatch operator()(const Slot& slot);

 private:
  ChannelStatistics statistics_;
  at::Tensor buffer_;  // flat float32, as large as the largest batch so far
};

}  // namespace millrace::stages
