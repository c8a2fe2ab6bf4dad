// { op = "color_jitter", brightness = 0.4, contrast = 0.4, saturation = 0.4, hue = 0.1 }:
// torchvision's ColorJitter on Pillow pictures. Each is a number, how far from 1 (the hue: from 0)
// the factor may be, or a range of factors; left out it does not happen. In random order.
#pragma once

#include <memory>

#include "base/params.h"
#include "stages/ops/pixel_op.h"

namespace millrace::stages {

std::unique_ptr<PixelOp> MakeColorJitter(const Params& params, Size size);

}  // namespace millrace::stages
