// Whole pictures, and regions that were decoded alone beside them.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <span>

#include "stages/geometry.h"
#include "stages/image.h"
#include "tests/support/full_decode.h"

namespace millrace::test {

inline bool IsRegionOf(const stages::Image& full, stages::Box region, const stages::Image& part) {
  if (part.width() != region.width || part.height() != region.height) return false;
  for (int y = 0; y < region.height; ++y) {
    const auto* whole_row = full.row(region.y + y) + region.x * stages::kChannels;
    if (std::memcmp(part.row(y), whole_row, part.row_bytes()) != 0) return false;
  }
  return true;
}

// What libjpeg-turbo alone makes of a JPEG at `scale` eighths of its size.
inline stages::Image DecodeWhole(std::span<const std::byte> jpeg, int scale) {
  const FullDecode judge = DecodeFully(jpeg, 1 << 24, static_cast<unsigned>(scale));
  EXPECT_TRUE(judge.has_picture && !judge.complains);
  const auto channels = static_cast<std::size_t>(judge.channels);
  stages::Image image;
  image.Resize(judge.width, judge.height);
  for (std::size_t i = 0; i < judge.pixels.size() / channels; ++i) {
    for (std::size_t channel = 0; channel < stages::kChannels; ++channel) {
      image.row(0)[i * stages::kChannels + channel] =
          judge.pixels[i * channels + (channels == 1 ? 0 : channel)];
    }
  }
  return image;
}

}  // namespace millrace::test
