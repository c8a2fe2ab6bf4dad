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
#include "storage/jpeg_frame.h"

namespace millrace::stages::region {

// In natural order.
using Quantizers = std::array<std::uint16_t, storage::kBlockSize>;

// Coefficients, dequantised, and the numbers between the passes are smaller than kLimit, signs
// aside, or the result is not known: with larger ones sums outgrow 16 or 32 bits, and what
// libjpeg-turbo makes of them depends on the instructions that it uses. Those of a picture of 8
// bits stay below half of it.
inline constexpr std::int32_t kLimit = 1 << 13;

// Blocks are made in groups of at most so many; `coefficients` and `samples` have room for whole
// ones.
inline constexpr int kMostBlocksAtOnce = 4;

// Makes the samples of `blocks` blocks side by side, whose coefficients follow one another: 8 rows,
// `row_bytes` apart. Behind the last block up to kMostBlocksAtOnce - 1 others may be read and
// written. False, with undefined samples, where a number is beyond kLimit.
bool InverseDct(Kernels kernels, const std::int16_t* coefficients, const Quantizers& quantizers,
                int blocks, std::uint8_t* samples, std::size_t row_bytes);

}  // namespace millrace::stages::region
