#include "stages/pixels/enhance.h"

#include <cstring>

#include "stages/pixels/blend.h"
#include "stages/pixels/lut.h"

namespace millrace::stages {

namespace {

// What blending with the same grey everywhere makes of each value.
Lut BlendingLut(int grey, float factor) {
  Lut lut;
  for (int i = 0; i < 256; ++i) lut[static_cast<std::size_t>(i)] = BlendValue(grey, i, factor);
  return lut;
}

// Of the luminances, halves up.
int MeanLuminance(Pixels pixels) {
  std::uint64_t sum = 0;
  const std::uint8_t* const end = pixels.data + pixels.bytes();
  for (const std::uint8_t* rgb = pixels.data; rgb != end; rgb += kChannels) sum += Luminance(rgb);
  const double mean = static_cast<double>(sum) / static_cast<double>(pixels.count());
  return static_cast<int>(mean + 0.5);  // NOLINT(bugprone-incorrect-roundings): the reference's
}

// ImageFilter.SMOOTH of one row between its neighbours: a thirteenth of each of the nine pixels,
// five of the middle. The reference sums in float32; a sum of thirteenths and a half is never so
// near to a whole number that it matters, so that whole numbers give the same.
void SmoothRow(const std::uint8_t* above, const std::uint8_t* row, const std::uint8_t* below,
               std::size_t row_bytes, std::uint8_t* out) {
  std::memcpy(out, row, kChannels);
  const auto column = [&](std::size_t i) { return above[i] + row[i] + below[i]; };
  for (std::size_t i = kChannels; i < row_bytes - kChannels; ++i) {
    const int sum = column(i - kChannels) + column(i) + column(i + kChannels) + 4 * row[i];
    out[i] = static_cast<std::uint8_t>(static_cast<unsigned>(2 * sum + 13) / 26u);
  }
  std::memcpy(out + row_bytes - kChannels, row + row_bytes - kChannels, kChannels);
}

}  // namespace

void Grayscale(Pixels pixels) {
  std::uint8_t* const end = pixels.data + pixels.bytes();
  for (std::uint8_t* rgb = pixels.data; rgb != end; rgb += kChannels) {
    rgb[0] = rgb[1] = rgb[2] = Luminance(rgb);
  }
}

void AdjustBrightness(double factor, Pixels pixels) {
  ApplyLut(BlendingLut(0, static_cast<float>(factor)), pixels);
}

void AdjustContrast(double factor, Pixels pixels) {
  ApplyLut(BlendingLut(MeanLuminance(pixels), static_cast<float>(factor)), pixels);
}

void AdjustSaturation(double factor, PixelScratch* scratch, Pixels pixels) {
  scratch->row.resize(pixels.row_bytes());
  std::uint8_t* const grey = scratch->row.data();
  for (int y = 0; y < pixels.size.height; ++y) {
    std::uint8_t* const row = pixels.row(y);
    for (std::size_t i = 0; i < pixels.row_bytes(); i += kChannels) {
      grey[i] = grey[i + 1] = grey[i + 2] = Luminance(row + i);
    }
    Blend(grey, static_cast<float>(factor), row, pixels.row_bytes());
  }
}

void AdjustSharpness(double factor, PixelScratch* scratch, Pixels pixels) {
  // The outermost pixels are not smoothed, so that blending leaves them as they are.
  if (pixels.size.width < 3 || pixels.size.height < 3) return;
  Image& smooth = scratch->picture;
  smooth.Resize(pixels.size.width, pixels.size.height);
  const int last = pixels.size.height - 1;
  for (int y = 1; y < last; ++y) {
    SmoothRow(pixels.row(y - 1), pixels.row(y), pixels.row(y + 1), pixels.row_bytes(),
              smooth.row(y));
  }
  Blend(smooth.row(1), static_cast<float>(factor), pixels.row(1),
        pixels.row_bytes() * static_cast<std::size_t>(last - 1));
}

}  // namespace millrace::stages
