// In which size a JPEG is decoded: libjpeg-turbo's inverse DCT makes a smaller picture with less
// work.
//
// A scale is a number of eighths: 1, 2, 4, or 8 for the picture's own size. libjpeg-turbo has the
// others too, but without SIMD for them: 3 takes longer than 4, and 5, 6 and 7 longer than 8.
//
// A pixel of the smaller picture is the average of the 8 / scale x 8 / scale pixels in its place
// (libjpeg's jidctred.c, up to rounding), so that coordinates are multiplied and nothing moves:
// along each axis it covers the picture from 8 / scale x i to 8 / scale x (i + 1) [pixels].
#pragma once

#include <cstdint>

#include "base/params.h"
#include "stages/geometry.h"
#include "storage/record_view.h"

namespace millrace::stages {

// `decode.mode` of the recipe.
enum class DecodeMode : std::uint8_t {
  kExact,  // in the picture's own size
  kFast,   // in the smallest from which the resize need not enlarge
};

// `mode` of the recipe's [decode]: "exact" (the default) or "fast".
DecodeMode ReadDecodeMode(const Params& decode);

// What libjpeg-turbo makes of a picture: the last row and column may reach beyond its edges.
Size ScaledSize(Size picture, int scale);

// The scale at which the record's picture is decoded for this geometry. Below kFullScale only where
// the crop is still at least as large as what it is resized to, along both axes, and where the
// resize averages (not in mode kOpenCv); a PNG has its own size only.
int ChooseScale(DecodeMode mode, const storage::RecordView& record, const Geometry& geometry);

}  // namespace millrace::stages
