// The copy stage: brings a finished batch to the lane's device, as the images of floats that
// networks take.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>

#include "stages/device_batch.h"
#include "stages/normalize.h"
#include "stages/slot.h"

namespace millrace::stages {

// Copies for a CPU lane: one pass over the pixels normalises them, makes them float32 or bfloat16
// and writes them in the layout that the network takes. They stay valid until the next copy, which
// takes the same memory. One thread at a time.
class CopyToCpu {
 public:
  // `format`: of type Float or BFloat16, the bits of the first rounded as ATen rounds.
  CopyToCpu(const ChannelStatistics& statistics, ImageFormat format);

  DeviceBatch operator()(const Slot& slot);

 private:
  // `pixels` pixels, `first` on: a whole batch, or one picture in planes.
  void Write(const std::uint8_t* nhwc, std::size_t first, std::size_t pixels);

  ChannelStatistics statistics_;
  ImageFormat format_;
  at::Tensor buffer_;  // flat, as large as the largest batch so far
};

}  // namespace millrace::stages
