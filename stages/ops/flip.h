// { op = "horizontal_flip", p = 0.5 } and { op = "vertical_flip", p = 0.5 }: mirrors a picture with
// probability p.
#pragma once

#include <memory>

#include "base/params.h"
#include "stages/ops/geometry_op.h"

namespace millrace::stages {

std::unique_ptr<GeometryOp> MakeHorizontalFlip(const Params& params);
std::unique_ptr<GeometryOp> MakeVerticalFlip(const Params& params);

}  // namespace millrace::stages
