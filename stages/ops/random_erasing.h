// { op = "random_erasing", p = 0.5, scale = [0.02, 0.33], ratio = [0.3, 3.3], value = [124, 116,
// 104] }: a random rectangle of a picture in one colour, placed as torchvision's RandomErasing.
//
// torchvision erases after normalising, with 0: the mean. Here pictures are still bytes and the
// default is ImageNet's mean rounded, which normalises to within 0.0088 of 0.
#pragma once

#include <memory>

#include "base/params.h"
#include "stages/ops/pixel_op.h"

namespace millrace::stages {

std::unique_ptr<PixelOp> MakeRandomErasing(const Params& params, Size size);

}  // namespace millrace::stages
