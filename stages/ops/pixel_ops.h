// The table of all pixel operations, by the names that recipes give them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/params.h"
#include "stages/geometry.h"
#include "stages/ops/pixel_op.h"

namespace millrace::stages {

std::vector<std::string> PixelOpNames();

// The operation called `name` for pictures of `size`; nullptr where there is none of that name.
// Throws Error (exit code 2) for its settings.
std::unique_ptr<PixelOp> MakePixelOp(std::string_view name, const Params& params, Size size);

}  // namespace millrace::stages
