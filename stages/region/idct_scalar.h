// The plain C++ twin of idct.h, for processors without vectors and as its judge.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stages/region/idct.h"

namespace millrace::stages::region {

// libjpeg's constants (jidctint.c), with 13 bits.
inline constexpr std::int32_t kFix0298 = 2446;
inline constexpr std::int32_t kFix0390 = 3196;
inline constexpr std::int32_t kFix0541 = 4433;
inline constexpr std::int32_t kFix0765 = 6270;
inline constexpr std::int32_t kFix0899 = 7373;
inline constexpr std::int32_t kFix1175 = 9633;
inline constexpr std::int32_t kFix1501 = 12299;
inline constexpr std::int32_t kFix1847 = 15137;
inline constexpr std::int32_t kFix1961 = 16069;
inline constexpr std::int32_t kFix2053 = 16819;
inline constexpr std::int32_t kFix2562 = 20995;
inline constexpr std::int32_t kFix3072 = 25172;
// What the results of the first and of the second pass are shifted by.
inline constexpr int kFirstShift = 13 - 2;
inline constexpr int kSecondShift = 13 + 2 + 3;

bool InverseDctScalar(std::int16_t* coefficients, const Quantizers& quantizers, int blocks,
                      std::uint8_t* samples, std::size_t row_bytes);

}  // namespace millrace::stages::region
