// What the copy stage hands to the train step.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <cstdint>

#include "stages/geometry.h"
#include "stages/normalize.h"

namespace millrace::stages {

// How a network takes its images, so that it need not pass over them once more.
struct ImageFormat {
  c10::ScalarType type = c10::ScalarType::Float;  // or the 16 bits of an Autocast (precision.h)
  Layout layout = Layout::kNhwc;
};

// One batch on the device.
struct DeviceBatch {
  at::Tensor images;    // [N, 3, H, W], normalised, in its ImageFormat
  at::Tensor labels;    // int64 [N]
  at::Tensor mix = {};  // MixTensor(), on the device; undefined where nothing is mixed
};

// The first `samples` pictures of a flat tensor of values, as [N, 3, H, W]: no copy.
at::Tensor SeeAsImages(const at::Tensor& flat, std::int64_t samples, Size picture, Layout layout);

}  // namespace millrace::stages
