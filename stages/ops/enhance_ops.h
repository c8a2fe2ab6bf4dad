// One property of a picture changed by a random factor, and torchvision's RandomAdjustSharpness, on
// Pillow pictures:
//
//   { op = "brightness", factor = [0.5, 1.5], p = 1.0 }, and so contrast, saturation and sharpness;
//   { op = "hue", factor = [-0.1, 0.1], p = 1.0 };
//   { op = "adjust_sharpness", sharpness_factor = 2.0, p = 0.5 }
#pragma once

#include <memory>

#include "base/params.h"
#include "stages/ops/pixel_op.h"

namespace millrace::stages {

// The largest factor that an operation may be asked for.
inline constexpr double kLargestFactor = 1e6;

std::unique_ptr<PixelOp> MakeBrightness(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeContrast(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeSaturation(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeSharpness(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeHue(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeAdjustSharpness(const Params& params, Size size);

}  // namespace millrace::stages
