// torchvision's RandomInvert, RandomSolarize, RandomPosterize, RandomEqualize, RandomAutocontrast
// and RandomGrayscale on Pillow pictures:
//
//   { op = "invert", p = 0.5 }, { op = "solarize", threshold = 128, p = 0.5 },
//   { op = "posterize", bits = 4, p = 0.5 }, { op = "equalize", p = 0.5 },
//   { op = "autocontrast", p = 0.5 }, { op = "grayscale", p = 0.1 }
#pragma once

#include <memory>

#include "base/params.h"
#include "stages/ops/pixel_op.h"

namespace millrace::stages {

std::unique_ptr<PixelOp> MakeInvert(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeSolarize(const Params& params, Size size);
std::unique_ptr<PixelOp> MakePosterize(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeEqualize(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeAutocontrast(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeGrayscale(const Params& params, Size size);

}  // namespace millrace::stages
