// The inverse DCT of blocks side by side, bit for bit that of libjpeg-turbo's "islow" method, and
// the samples that it makes.
//
// The algorithm is that of Loeffler, Ligtenberg and Moschytz (ICASSP 1989) with 13 bits of
// constants and 2 more bits between the passes, as in jidctint.c.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "stages/kernels.h"
#include "stages/region/coefficients.h"
#include "storage/jpeg_frame.h"

namespace millrace::stages::region {

// In natural order.
using Quantizers = std::array<std::uint16_t, storage::kBlockSize>;

// Coefficients, dequantised, and the numbers between the passes are smaller than kLimit, signs
// aside, or the result is not known: with larger ones sums outgrow 16 or 32 bits, and what
// libjpeg-turbo makes of them depends on the instructions that it uses. Those of a picture of 8
// bits stay below half of it.
inline constexpr std::int32_t kLimit = 1 << 13;

// Makes the samples of `blocks` blocks side by side, the first of which is the first of a group: 8
// rows, `row_bytes` apart. Leaves zeros in place of the coefficients of all groups, while they are
// in the cache. Behind the last block others of its group may be made too. False, with undefined
// samples, where a number is beyond kLimit. REQUIRES: quantizers of 8 bits
bool InverseDct(Kernels kernels, std::int16_t* coefficients, const Quantizers& quantizers,
                int blocks, std::uint8_t* samples, std::size_t row_bytes);

}  // namespace millrace::stages::region
