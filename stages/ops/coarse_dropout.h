// { op = "coarse_dropout", max_holes = 8, max_height = 8, max_width = 8, fill_value = 0, p = 0.5 }:
// rectangles of a picture filled with a colour, as albumentations did from 2019 to 2023: exactly so
// many holes of exactly this size, [pixels], unless min_holes, min_height or min_width say from
// where on.
//
// Source: DeVries, Taylor, "Improved regularization of convolutional neural networks with cutout",
// 2017.
#pragma once

#include <memory>

#include "base/params.h"
#include "stages/ops/pixel_op.h"

namespace millrace::stages {

std::unique_ptr<PixelOp> MakeCoarseDropout(const Params& params, Size size);

}  // namespace millrace::stages
