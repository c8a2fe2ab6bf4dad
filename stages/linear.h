// The two passes of a linear resize over rows of interleaved RGB with OpenCV's arithmetic, in SIMD
// and in plain C++.
//
// Source: HResizeLinear, VResizeLinear and their vector twins in modules/imgproc/src/resize.cpp of
// OpenCV 4 and 5. Between the passes a value is the pixel times 2^(kLinearBits - kLinearDropped).
#pragma once

#include <cstddef>
#include <cstdint>

#include "stages/kernels.h"
#include "stages/linear_table.h"

namespace millrace::stages {

// Bits of a horizontal sum that the vertical pass does not see.
inline constexpr int kLinearDropped = 4;

// Values behind the end of an output row of the horizontal pass that may be overwritten.
inline constexpr std::size_t kWritableValuesBehind = 8;

// Resizes rows along x: `rows` source rows to as many output rows of table.outputs() x 3 values.
// Reads up to kReadableBytesBehind past the end of a source row; writes table.padded_outputs() x 3
// values and up to kWritableValuesBehind past them.
void LinearRows(Kernels kernels, const LinearTable& table, const std::uint8_t* const* sources,
                int rows, std::int16_t* const* outputs);

// One output row of a resize along y: `count` bytes of `out` from the two rows of values. Writes
// nothing else; reads nothing else.
void LinearColumns(Kernels kernels, const LinearTap& tap, const std::int16_t* first,
                   const std::int16_t* second, std::size_t count, std::uint8_t* out);

}  // namespace millrace::stages
