// The passes of linear.h in plain C++: what the SIMD kernels are tested against, and what runs
// where there is no SIMD.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stages/linear_table.h"

namespace millrace::stages {

void LinearRowsScalar(const LinearTable& table, const std::uint8_t* const* sources, int rows,
                      std::int16_t* const* outputs);

void LinearColumnsScalar(const LinearTap& tap, const std::int16_t* first,
                         const std::int16_t* second, std::size_t count, std::uint8_t* out);

}  // namespace millrace::stages
