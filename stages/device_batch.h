// What the copy stage hands to the train step.
#pragma once

#include <ATen/core/Tensor.h>

namespace millrace::stages {

// One batch on the device.
struct DeviceBatch {
  at::Tensor images;  // float32 [N, 3, H, W], channels-last memory, normalised
  at::Tensor labels;  // int64 [N]
};

}  // namespace millrace::stages
