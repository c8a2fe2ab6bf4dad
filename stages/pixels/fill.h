// A rectangle of a picture in one colour.
#pragma once

#include <array>
#include <cstdint>

#include "stages/geometry.h"
#include "stages/pixels/pixels.h"

namespace millrace::stages {

using Colour = std::array<std::uint8_t, kChannels>;

// REQUIRES: the box lies in the picture
inline void FillBox(Box box, const Colour& colour, Pixels pixels) {
  for (int y = box.y; y < box.y + box.height; ++y) {
    std::uint8_t* out = pixels.row(y) + box.x * kChannels;
    for (int x = 0; x < box.width; ++x, out += kChannels) {
      out[0] = colour[0];
      out[1] = colour[1];
      out[2] = colour[2];
    }
  }
}

}  // namespace millrace::stages
