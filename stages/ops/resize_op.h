// { op = "resize", size = 256 }: the short side to a given length, the aspect kept, as
// torchvision's Resize(256). { op = "resize", width = 320, height = 240 }: to an exact size.
#pragma once

#include <memory>

#include "base/params.h"
#include "stages/ops/geometry_op.h"

namespace millrace::stages {

// What torchvision's Resize(side) makes of a picture: the long side is cut to a whole number.
Size ResizeShortSide(Size picture, int side);

std::unique_ptr<GeometryOp> MakeResize(const Params& params);

}  // namespace millrace::stages
