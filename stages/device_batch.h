// What the copy stage hands to the train step.
#pragma once

#include <ATen/core/Tensor.h>

namespace millrace::stages {

// One batch on the device.
struct DeviceBatch {
  // [N, 3, H, W], channels-last memory, normalised; float32, or the 16 bits of an Autocast
  // (model/precision.h) to spare the network a pass over them.
  at::Tensor images;
  at::Tensor labels;  // int64 [N]
};

}  // namespace millrace::stages
