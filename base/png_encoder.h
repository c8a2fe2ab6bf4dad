// Pixels as PNG files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace millrace {

// Both without loss.
enum class PngEffort {
  kSmall,  // for what is stored
  // For what is drawn beside a training run: on pictures of a few samples each, enlarged, a quarter
  // of libpng's own time for a fifth more bytes.
  kFast,
};

// The bytes of a PNG file of uint8 [height, width, channels] pixels without padding, gray or RGB.
// Nothing is left to libpng's choice: with the same zlib, the same pixels give the same bytes.
// REQUIRES: channels is 1 or 3, pixels.size() == width * height * channels > 0, sides < 2^31
std::vector<std::byte> EncodePng(std::uint32_t width, std::uint32_t height, std::uint32_t channels,
                                 std::span<const std::uint8_t> pixels, PngEffort effort);

}  // namespace millrace
