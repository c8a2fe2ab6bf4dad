// A finished-size picture that pixel operations change in place, and what they need besides it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "stages/geometry.h"
#include "stages/image.h"

namespace millrace::stages {

// uint8 RGB, row after row without gaps, in memory of somebody else; nothing behind the last pixel
// may be read. Small; passed by value.
struct Pixels {
  std::uint8_t* data = nullptr;
  Size size;

  std::size_t row_bytes() const { return static_cast<std::size_t>(size.width) * kChannels; }
  std::size_t count() const {  // [pixels]
    return static_cast<std::size_t>(size.width) * static_cast<std::size_t>(size.height);
  }
  std::size_t bytes() const { return count() * kChannels; }
  std::uint8_t* row(int y) const { return data + static_cast<std::size_t>(y) * row_bytes(); }
};

using Rgb = std::uint8_t[kChannels];

// Memory that a worker keeps from sample to sample, so that operations allocate nothing. Contents
// are undefined between operations. One thread at a time.
struct PixelScratch {
  Image picture;                    // a second picture
  std::vector<std::uint8_t> row;    // a row with what is around it
  std::vector<std::uint32_t> sums;  // of a row
  std::vector<std::uint8_t> kept;   // the picture before aug_mix
  std::vector<float> mixed;         // what aug_mix makes of it
};

}  // namespace millrace::stages
