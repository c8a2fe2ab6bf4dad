// Between two pictures, and beyond them: Image.blend of Pillow.
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace::stages {

// What Image.blend makes of one value: from + factor * (to - from) in float32, cut to 0..255 and to
// a whole number.
inline std::uint8_t BlendValue(int from, int to, float factor) {
  const float value = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<std::uint8_t>(value <= 0.0f ? 0.0f : value >= 255.0f ? 255.0f : value);
}

// `values` become what lies between `from` (factor 0) and them (factor 1). The same bits on every
// instruction set.
void Blend(const std::uint8_t* from, float factor, std::uint8_t* values, std::size_t count);

}  // namespace millrace::stages
