// Operations that change a finished-size picture in place: everything that comes after the
// geometry.
#pragma once

#include "base/random.h"
#include "stages/pixels/pixels.h"

namespace millrace::stages {

// Immutable after construction: any number of threads may use one object.
class PixelOp {
 public:
  virtual ~PixelOp() = default;

  // Pure in the stream, the pixels and the settings. `scratch` is the calling thread's own.
  virtual void Apply(RandomStream random, PixelScratch* scratch, Pixels pixels) const = 0;
};

}  // namespace millrace::stages
