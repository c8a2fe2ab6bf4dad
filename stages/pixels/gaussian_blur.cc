#include "stages/pixels/gaussian_blur.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "stages/pixels/box_rows.h"

namespace millrace::stages {

namespace {

constexpr int kPasses = 3;

// One box: so many whole pixels to either side of the middle, and a part of the next.
struct Box1d {
  int radius;
  BoxWeights weights;
};

// Float32 where the reference has it.
Box1d BoxOf(float sigma) {
  const float variance = sigma * sigma / static_cast<float>(kPasses);
  const auto length = static_cast<float>(std::sqrt(12.0 * variance + 1.0));
  const auto whole = static_cast<float>(std::floor((length - 1.0) / 2.0));
  float part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
  part /= 6 * (variance - (whole + 1) * (whole + 1));
  const float radius = whole + part;
  const auto whole_radius = static_cast<int>(radius);
  const auto weight = static_cast<std::uint32_t>(16777216.0f / (radius * 2 + 1));
  const auto pixels = static_cast<std::uint32_t>(whole_radius) * 2 + 1;
  return {whole_radius, {.whole = weight, .part = (16777216u - pixels * weight) / 2}};
}

// One row, blurred along it in place. `padded` has room for the row and radius + 1 pixels on each
// side, which are the outermost ones again.
void BlurRow(const Box1d& box, std::uint8_t* row, std::size_t row_bytes, std::uint8_t* padded,
             std::uint32_t* sums) {
  const auto side = static_cast<std::size_t>(box.radius + 1) * kChannels;
  std::uint8_t* const middle = padded + side;
  for (int pass = 0; pass < kPasses; ++pass) {
    std::memcpy(middle, row, row_bytes);
    for (std::size_t i = 0; i < side; i += kChannels) {
      std::memcpy(padded + i, row, kChannels);
      std::memcpy(middle + row_bytes + i, row + row_bytes - kChannels, kChannels);
    }
    std::fill_n(sums, row_bytes, 0u);
    for (std::size_t i = kChannels; i < 2 * side; i += kChannels) {
      SlideBox(padded + i, nullptr, row_bytes, sums);
    }
    WeighBox(box.weights, sums, padded, middle + side, row_bytes, row);
  }
}

// One pass along the columns, from one picture to the other.
void BlurColumns(const Box1d& box, Pixels from, std::uint32_t* sums, Pixels to) {
  const int last = from.size.height - 1;
  const std::size_t count = from.row_bytes();
  const auto row = [&](int y) { return from.row(std::clamp(y, 0, last)); };
  std::fill_n(sums, count, 0u);
  for (int y = -box.radius; y <= box.radius; ++y) SlideBox(row(y), nullptr, count, sums);
  for (int y = 0; y <= last; ++y) {
    const std::uint8_t* const before = row(y - box.radius - 1);
    const std::uint8_t* const after = row(y + box.radius + 1);
    WeighBox(box.weights, sums, before, after, count, to.row(y));
    SlideBox(after, row(y - box.radius), count, sums);
  }
}

}  // namespace

void GaussianBlur(double sigma, PixelScratch* scratch, Pixels pixels) {
  if (sigma == 0) return;
  const Box1d box = BoxOf(static_cast<float>(sigma));
  const std::size_t row_bytes = pixels.row_bytes();
  scratch->row.resize(row_bytes + static_cast<std::size_t>(box.radius + 1) * kChannels * 2);
  scratch->sums.resize(row_bytes);
  Image& other = scratch->picture;
  other.Resize(pixels.size.width, pixels.size.height);
  for (int y = 0; y < pixels.size.height; ++y) {
    BlurRow(box, pixels.row(y), row_bytes, scratch->row.data(), scratch->sums.data());
  }
  const Pixels between{.data = other.row(0), .size = pixels.size};
  BlurColumns(box, pixels, scratch->sums.data(), between);
  BlurColumns(box, between, scratch->sums.data(), pixels);
  BlurColumns(box, pixels, scratch->sums.data(), between);
  std::memcpy(pixels.data, between.data, pixels.bytes());
}

}  // namespace millrace::stages
