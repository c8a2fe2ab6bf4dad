// What a plain libjpeg-turbo decoder shows of a JPEG, damaged or not: the judge of whatever claims
// to leave pixels alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace millrace::test {

struct FullDecode {
  bool has_picture = false;  // all rows came, with or without warnings
  bool complains = false;    // it warned, or ended with an error
  int width = 0;             // [pixels]
  int height = 0;            // [pixels]
  int channels = 0;
  std::vector<std::uint8_t> pixels;  // rows without padding

  // The same picture; complaints do not enter.
  bool Shows(const FullDecode& other) const {
    return has_picture && other.has_picture && width == other.width && height == other.height &&
           channels == other.channels && pixels == other.pixels;
  }
};

// Decodes with libjpeg-turbo's defaults, to grey, RGB or CMYK, and passes over warnings. More than
// `most_pixels` are not decoded. `eighths`: the size of the result over that of the picture.
FullDecode DecodeFully(std::span<const std::byte> jpeg, std::size_t most_pixels = 1 << 24,
                       unsigned eighths = 8);

}  // namespace millrace::test
