// A decoded picture in memory, on its way from one encoding to another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace::storage {

// uint8 [height, width, channels], rows from top to bottom without padding; 1 channel (gray) or 3
// (RGB).
struct Pixels {
  std::uint32_t width = 0;   // [pixels]
  std::uint32_t height = 0;  // [pixels]
  std::uint32_t channels = 0;
  std::vector<std::uint8_t> bytes;

  std::size_t row_bytes() const { return std::size_t{width} * channels; }
};

// Pictures of more pixels are not held in memory as a whole.
inline constexpr std::uint64_t kMaxHeldPixels = std::uint64_t{1} << 26;

}  // namespace millrace::storage
