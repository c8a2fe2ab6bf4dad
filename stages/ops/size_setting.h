// The settings with which an operation is told a size.
#pragma once

#include "base/params.h"
#include "stages/geometry.h"

namespace millrace::stages {

// The longest side that an operation may be asked for [pixels].
inline constexpr int kLongestSide = 16384;

// `width` and `height` of the operation, both needed.
Size ReadWidthAndHeight(const Params& params);

// `size = N` for a square, or `width` and `height`. Both or neither is an Error.
Size ReadSize(const Params& params);

}  // namespace millrace::stages
