// { op = "hue_saturation_value", hue_shift_limit = 20, sat_shift_limit = 30, val_shift_limit = 20,
// p = 0.5 }: HueSaturationValue of albumentations on uint8 pictures, with OpenCV's HSV. A limit is
// a number, for both directions, or a range; the hue's unit is 2 degrees.
#pragma once

#include <memory>

#include "base/params.h"
#include "stages/ops/pixel_op.h"

namespace millrace::stages {

std::unique_ptr<PixelOp> MakeHueSaturationValue(const Params& params, Size size);

}  // namespace millrace::stages
