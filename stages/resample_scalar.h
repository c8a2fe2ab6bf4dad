// The passes of resample.h in plain C++: what the SIMD kernels are tested against, and what runs
// where there is no SIMD.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stages/resample_table.h"

namespace millrace::stages {

void ResampleRowsScalar(const ResampleTable& table, const std::uint8_t* const* sources, int rows,
                        std::uint8_t* const* outputs);

void ResampleColumnsScalar(const TapPair* coefficients, int pairs,
                           const std::uint8_t* const* sources, std::size_t bytes,
                           std::uint8_t* out);

}  // namespace millrace::stages
