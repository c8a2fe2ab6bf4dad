// The two passes of an antialiased resize over rows of interleaved RGB, in SIMD and in plain C++.
//
// Both kinds give the same bytes. The SIMD kind is compiled for several instruction sets and picked
// at run time (Highway).
#pragma once

#include <cstddef>
#include <cstdint>

#include "stages/kernels.h"
#include "stages/resample_table.h"

namespace millrace::stages {

// Bytes behind the end of an output row of the horizontal pass that may be overwritten.
inline constexpr std::size_t kWritableBytesBehind = 16;

// Resizes rows along x: `rows` source rows to as many output rows of table.outputs() pixels.
// Reads up to kReadableBytesBehind past the end of a source row; writes table.padded_outputs()
// pixels and up to kWritableBytesBehind past them. REQUIRES: sources and outputs do not overlap
void ResampleRows(Kernels kernels, const ResampleTable& table, const std::uint8_t* const* sources,
                  int rows, std::uint8_t* const* outputs);

// One output row of a resize along y: `bytes` bytes of `out` from 2 x `pairs` rows. Writes nothing
// else; reads nothing else.
void ResampleColumns(Kernels kernels, const TapPair* coefficients, int pairs,
                     const std::uint8_t* const* sources, std::size_t bytes, std::uint8_t* out);

}  // namespace millrace::stages
