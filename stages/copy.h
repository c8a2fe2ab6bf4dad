// The copy stage: brings a finished batch to the lane's device, as the images of floats that
// networks take.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include "stages/device_batch.h"
#include "stages/normalize.h"
#include "stages/slot.h"

namespace millrace::stages {

// Copies for a CPU lane: one pass over the pixels normalises them, makes them float32 or bfloat16
// and writes them channels-last. They stay valid until the next copy, which takes the same memory.
// One thread at a time.
class CopyToCpu {
 public:
  // `image_type`: Float or BFloat16, the bits of the first rounded as ATen rounds.
  CopyToCpu(const ChannelStatistics& statistics, c10::ScalarType image_type);

  DeviceBatch operator()(const Slot& slot);

 private:
  ChannelStatistics statistics_;
  c10::ScalarType image_type_;
  at::Tensor buffer_;  // flat, as large as the largest batch so far
};

}  // namespace millrace::stages
