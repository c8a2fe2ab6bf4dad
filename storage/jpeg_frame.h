// The content of one JPEG as coefficients: what its decoder hands to whoever encodes it again.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "storage/jpeg_info.h"

namespace millrace::storage {

inline constexpr std::uint32_t kBlockSide = 8;  // [pixels]
inline constexpr std::size_t kBlockSize = 64;   // coefficients

// The natural position of each coefficient in zigzag order.
inline constexpr std::array<std::uint8_t, kBlockSize> kNaturalPosition = [] {
  std::array<std::uint8_t, kBlockSize> order{};
  int x = 0;
  int y = 0;
  for (std::size_t i = 0; i < kBlockSize; ++i) {
    order[i] = static_cast<std::uint8_t>(8 * y + x);
    const bool up = (x + y) % 2 == 0;
    int& forward = up ? x : y;
    int& backward = up ? y : x;
    if (forward == 7) {
      ++backward;
    } else {
      ++forward;
      if (backward > 0) --backward;
    }
  }
  return order;
}();
static_assert(kNaturalPosition[2] == 8 && kNaturalPosition[3] == 16 && kNaturalPosition[62] == 62);

// One colour plane. Coefficients and quantisers are in natural (row by row) order.
struct CoefficientPlane {
  // The block rows of the plane, each width_blocks * kBlockSize coefficients, before
  // dequantisation.
  std::vector<const std::int16_t*> rows;
  std::uint32_t width_blocks = 0;
  std::uint32_t h = 1;  // sampling factors: blocks in an MCU
  std::uint32_t v = 1;
  std::array<std::uint16_t, kBlockSize> quantizers{};
};

// Views the coefficients of whoever filled it. A picture of one plane has the sampling factors
// 1, 1.
struct JpegFrame {
  std::uint32_t width = 0;   // [pixels]
  std::uint32_t height = 0;  // [pixels]
  JpegColor color = JpegColor::kYcc;
  std::vector<CoefficientPlane> planes;

  std::uint32_t mcu_width() const {  // [pixels]
    std::uint32_t h = 1;
    for (const CoefficientPlane& plane : planes) h = std::max(h, plane.h);
    return h * kBlockSide;
  }
  std::uint32_t mcu_height() const {  // [pixels]
    std::uint32_t v = 1;
    for (const CoefficientPlane& plane : planes) v = std::max(v, plane.v);
    return v * kBlockSide;
  }
  std::uint32_t mcus_per_row() const { return (width + mcu_width() - 1) / mcu_width(); }
  std::uint32_t mcu_rows() const { return (height + mcu_height() - 1) / mcu_height(); }
  std::uint32_t blocks_in_mcu() const {
    std::uint32_t blocks = 0;
    for (const CoefficientPlane& plane : planes) blocks += plane.h * plane.v;
    return blocks;
  }
};

}  // namespace millrace::storage
