// Pictures in memory: rows of interleaved 8-bit RGB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"

namespace millrace::stages {

inline constexpr int kChannels = 3;  // RGB

// So many bytes behind the last row may be read (never interpreted): SIMD kernels load whole
// vectors at the end of a row.
inline constexpr std::size_t kReadableBytesBehind = 16;

// A picture that grows as needed and never shrinks, so that a reused one stops allocating.
// Pixels are undefined after Resize(). Movable; one thread at a time.
class Image {
 public:
  // Makes room for width x height pixels. REQUIRES: both >= 0
  void Resize(int width, int height) {
    MILLRACE_CHECK(width >= 0 && height >= 0);
    width_ = width;
    height_ = height;
    const auto needed = row_bytes() * static_cast<std::size_t>(height) + kReadableBytesBehind;
    if (needed > storage_.size()) storage_.resize(needed);
  }

  int width() const { return width_; }    // [pixels]
  int height() const { return height_; }  // [pixels]
  // Distance between the starts of two rows [bytes]; no padding.
  std::size_t row_bytes() const { return static_cast<std::size_t>(width_) * kChannels; }

  std::uint8_t* row(int y) { return storage_.data() + row_bytes() * static_cast<std::size_t>(y); }
  const std::uint8_t* row(int y) const {
    return storage_.data() + row_bytes() * static_cast<std::size_t>(y);
  }

 private:
  int width_ = 0;
  int height_ = 0;
  std::vector<std::uint8_t> storage_;
};

}  // namespace millrace::stages
