// { op = "gaussian_blur", sigma = [0.1, 2.0], p = 1.0 }: Pillow's ImageFilter.GaussianBlur with a
// random standard deviation [pixels]. torchvision's GaussianBlur has the same settings and other
// pixels: a kernel cut off at kernel_size, in float32.
#pragma once

#include <memory>

#include "base/params.h"
#include "stages/ops/pixel_op.h"

namespace millrace::stages {

std::unique_ptr<PixelOp> MakeGaussianBlur(const Params& params, Size size);

}  // namespace millrace::stages
