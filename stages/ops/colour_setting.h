// Settings that are a colour.
#pragma once

#include "base/params.h"
#include "stages/pixels/fill.h"

namespace millrace::stages {

// Red, green and blue, each from 0 to 255; or one number for all three.
Colour ReadColour(const Params& params, const char* key, const Colour& fallback);

}  // namespace millrace::stages
