// The setting with which an operation is told whose resize it reproduces.
#pragma once

#include "base/params.h"
#include "stages/geometry.h"

namespace millrace::stages {

// `resize` of the operation: "pillow" (from version 13 on; the default), "pillow12" (up to 12) or
// "opencv" (INTER_LINEAR).
ResizeMode ReadResizeMode(const Params& params);

}  // namespace millrace::stages
