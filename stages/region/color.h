// From planes of samples to rows of RGB: libjpeg's interpolation of chroma ("fancy upsampling") and
// its conversion of YCbCr, bit for bit (jdsample.c, jdcolor.c).
#pragma once

#include <cstddef>
#include <cstdint>

#include "stages/kernels.h"

namespace millrace::stages::region {

// So many samples more than said may be read, and made, behind the last of a row.
inline constexpr std::size_t kRowMargin = 64;

// How chroma is sampled, seen from luma.
enum class Sampling : std::uint8_t { k444, k422, k420, k440 };

// A row of chroma between two rows of samples: `near`, its own, and `far`, which is next to that on
// the same side. They are the same where there is no other, and where only x is interpolated. Makes
// the row of `count` samples, of 2 * count where x is interpolated. Of near and far the samples -1
// to count are read. REQUIRES: sampling is not k444
struct ChromaRow {
  const std::uint8_t* near = nullptr;
  const std::uint8_t* far = nullptr;
  bool is_lower = false;  // the far row is below
};
void InterpolateChroma(Kernels kernels, Sampling sampling, const ChromaRow& row, int count,
                       std::uint8_t* out);

// Rows of `count` samples each to RGB; nothing is written behind the last pixel.
void ConvertRow(Kernels kernels, const std::uint8_t* luma, const std::uint8_t* blue,
                const std::uint8_t* red, int count, std::uint8_t* rgb);

}  // namespace millrace::stages::region
