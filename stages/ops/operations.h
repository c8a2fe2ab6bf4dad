// The operations of loaders by the names that recipes give them.
#pragma once

#include <memory>

#include "base/params.h"
#include "base/table.h"
#include "stages/geometry.h"
#include "stages/ops/geometry_op.h"
#include "stages/ops/pixel_op.h"

namespace millrace::stages {

// Make an operation from its section, { op = "<name>", ... }. Throw Error (exit code 2) for its
// settings.
using GeometryOpMaker = std::unique_ptr<GeometryOp> (*)(const Params& section);
// `size`: of the pictures that it will get.
using PixelOpMaker = std::unique_ptr<PixelOp> (*)(const Params& section, Size size);

// No name is in both.
struct Operations {
  Table<GeometryOpMaker> geometry;
  Table<PixelOpMaker> pixels;
};

// Those of this program, without plugins'. Any thread.
const Operations& BuiltInOperations();

}  // namespace millrace::stages
