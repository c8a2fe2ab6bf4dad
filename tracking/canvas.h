// A picture that is being drawn.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace millrace::tracking {

using Color = std::array<std::uint8_t, 3>;  // red, green, blue

// uint8 [height, width, 3] RGB. What is drawn beyond the edges is left out.
class Canvas {
 public:
  // REQUIRES: both > 0 [pixels]
  Canvas(int width, int height, Color background) : width_(width), height_(height) {
    pixels_.resize(std::size_t{3} * static_cast<std::size_t>(width) *
                   static_cast<std::size_t>(height));
    Fill(0, 0, width, height, background);
  }

  int width() const { return width_; }
  int height() const { return height_; }
  std::span<const std::uint8_t> pixels() const { return pixels_; }

  void Fill(int left, int top, int width, int height, Color color) {
    for (int y = std::max(0, top); y < std::min(height_, top + height); ++y) {
      for (int x = std::max(0, left); x < std::min(width_, left + width); ++x) {
        std::copy(color.begin(), color.end(), At(x, y));
      }
    }
  }

  // Lays `color` over a pixel; `share`: of 255.
  void Blend(int x, int y, Color color, int share) {
    if (x < 0 || y < 0 || x >= width_ || y >= height_) return;
    std::uint8_t* const pixel = At(x, y);
    for (std::size_t c = 0; c < 3; ++c) {
      pixel[c] =
          static_cast<std::uint8_t>((pixel[c] * (255 - share) + color[c] * share + 127) / 255);
    }
  }

 private:
  std::uint8_t* At(int x, int y) {
    return pixels_.data() + 3 * (static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) +
                                 static_cast<std::size_t>(x));
  }

  int width_;
  int height_;
  std::vector<std::uint8_t> pixels_;
};

}  // namespace millrace::tracking
