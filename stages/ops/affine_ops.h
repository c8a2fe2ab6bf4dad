// A picture moved within its frame by a random amount, as the operations of torchvision's
// RandAugment on Pillow pictures:
//
//   { op = "shear_x", shear = [-0.3, 0.3] }: pixels along x for each pixel along y; shear_y;
//   { op = "translate_x", translate = [-0.45, 0.45] }: of the width, in whole pixels; translate_y;
//   { op = "rotate", degrees = 30 }: so far to either side, or a range; against the clock.
//
// All with p = 1.0, interpolation = "nearest" or "bilinear", and fill = [0, 0, 0], the colour of
// what was outside.
#pragma once

#include <memory>

#include "base/params.h"
#include "stages/ops/pixel_op.h"

namespace millrace::stages {

std::unique_ptr<PixelOp> MakeShearX(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeShearY(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeTranslateX(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeTranslateY(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeRotate(const Params& params, Size size);

}  // namespace millrace::stages
