// The inverse DCT of blocks side by side, bit for bit that of libjpeg-turbo's "islow" method, and
// the samples that it makes.
//
// The algorithm is that of Loeffler, Ligtenberg and Moschytz (ICASSP 1989) with 13 bits of
// constants and 2 more bits between the passes, as in jidctint.c. Where numbers outgrow 16 bits,
// which no encoder makes them, the arithmetic is that of libjpeg-turbo's vector code (simd/x86_64/
// jidctint-sse2.asm).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "stages/kernels.h"
#include "storage/jpeg_frame.h"

namespace millrace::stages::region {

// In natural order.
using Quantizers = std::array<std::uint16_t, storage::kBlockSize>;

// A larger DC coefficient, after dequantisation, is treated in two ways by libjpeg-turbo, depending
// on what else is in the block.
inline constexpr std::int32_t kMostDc = 8191;

// Blocks are made in groups of at most so many; `coefficients` and `samples` have room for whole
// ones.
inline constexpr int kMostBlocksAtOnce = 4;

// Makes the samples of `blocks` blocks side by side, whose coefficients follow one another: 8 rows,
// `row_bytes` apart. Behind the last block up to kMostBlocksAtOnce - 1 others may be read and
// written.
void InverseDct(Kernels kernels, const std::int16_t* coefficients, const Quantizers& quantizers,
                int blocks, std::uint8_t* samples, std::size_t row_bytes);

}  // namespace millrace::stages::region
