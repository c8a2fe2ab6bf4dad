// { op = "center_crop", size = 224 }: the middle of a picture, placed as torchvision's CenterCrop
// does. A smaller picture is a Fault: nothing is padded.
#pragma once

#include <memory>

#include "base/params.h"
#include "stages/ops/geometry_op.h"

namespace millrace::stages {

std::unique_ptr<GeometryOp> MakeCenterCrop(const Params& params);

}  // namespace millrace::stages
