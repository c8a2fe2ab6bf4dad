// What lies around a picture that is moved within its frame.
#pragma once

#include "base/params.h"
#include "stages/pixels/affine.h"

namespace millrace::stages {

// `interpolation` of the operation, "nearest" or "bilinear", and `fill`, a colour.
Surround ReadSurround(const Params& params, Interpolation fallback = Interpolation::kNearest);

}  // namespace millrace::stages
