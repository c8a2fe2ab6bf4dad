// The plain C++ twin of color.h, for processors without vectors and as its judge.
#pragma once

#include <cstdint>

#include "stages/region/color.h"

namespace millrace::stages::region {

// libjpeg's weights of chroma (jdcolor.c) with 16 bits, less a multiple of 2^16 where 16 bits do
// not hold them: red has red chroma once more, green has it once less, and blue has blue chroma
// twice more.
inline constexpr std::int32_t kRedOfRed = 91881 - 65536;
inline constexpr std::int32_t kGreenOfBlue = -22554;
inline constexpr std::int32_t kGreenOfRed = 65536 - 46802;
inline constexpr std::int32_t kBlueOfBlue = 116130 - 131072;

void InterpolateChromaScalar(Sampling sampling, const ChromaRow& row, int count, std::uint8_t* out);
void ConvertRowScalar(const std::uint8_t* luma, const std::uint8_t* blue, const std::uint8_t* red,
                      int count, std::uint8_t* rgb);

}  // namespace millrace::stages::region
