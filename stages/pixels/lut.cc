#include "stages/pixels/lut.h"

namespace millrace::stages {

void ApplyLut(const Lut& lut, Pixels pixels) {
  std::uint8_t* const end = pixels.data + pixels.bytes();
  for (std::uint8_t* value = pixels.data; value != end; ++value) *value = lut[*value];
}

void ApplyLuts(const std::array<Lut, kChannels>& luts, Pixels pixels) {
  std::uint8_t* const end = pixels.data + pixels.bytes();
  for (std::uint8_t* value = pixels.data; value != end; value += kChannels) {
    value[0] = luts[0][value[0]];
    value[1] = luts[1][value[1]];
    value[2] = luts[2][value[2]];
  }
}

std::array<Histogram, kChannels> Histograms(Pixels pixels) {
  // Two of each, for neighbours that are equal not to wait for each other's sum.
  std::array<Histogram, kChannels> even{};
  std::array<Histogram, kChannels> odd{};
  const std::uint8_t* value = pixels.data;
  const std::size_t pairs = pixels.count() / 2;
  for (std::size_t i = 0; i < pairs; ++i, value += 2 * kChannels) {
    for (std::size_t c = 0; c < kChannels; ++c) {
      ++even[c][value[c]];
      ++odd[c][value[c + kChannels]];
    }
  }
  if (pixels.count() % 2 != 0) {
    for (std::size_t c = 0; c < kChannels; ++c) ++even[c][value[c]];
  }
  for (std::size_t c = 0; c < kChannels; ++c) {
    for (std::size_t i = 0; i < even[c].size(); ++i) even[c][i] += odd[c][i];
  }
  return even;
}

}  // namespace millrace::stages
