#include "stages/pixels/gaussian_blur.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace millrace::stages {

namespace {

constexpr int kPasses = 3;

// One box: so many whole pixels to either side of the middle, and a part of the next.
struct Box1d {
  int radius;
  std::uint32_t whole_weight;  // in 24 bits of fraction
  std::uint32_t part_weight;
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
  return {whole_radius, weight, (16777216u - pixels * weight) / 2};
}

std::uint8_t Weighted(const Box1d& box, std::uint32_t whole, std::uint32_t part) {
  return static_cast<std::uint8_t>(
      (whole * box.whole_weight + part * box.part_weight + (1u << 23)) >> 24);
}

// Adds `row` to `sums`.
void AddRow(const std::uint8_t* row, std::size_t count, std::uint32_t* sums) {
  for (std::size_t i = 0; i < count; ++i) sums[i] += row[i];
}

void WeighRow(const Box1d& box, const std::uint32_t* sums, const std::uint8_t* before,
              const std::uint8_t* after, std::size_t count, std::uint8_t* out) {
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = Weighted(box, sums[i], static_cast<std::uint32_t>(before[i] + after[i]));
  }
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
      AddRow(padded + i, row_bytes, sums);
    }
    WeighRow(box, sums, padded, middle + side, row_bytes, row);
  }
}

// One pass along the columns, from one picture to the other.
void BlurColumns(const Box1d& box, Pixels from, std::uint32_t* sums, Pixels to) {
  const int last = from.size.height - 1;
  const std::size_t count = from.row_bytes();
  const auto row = [&](int y) { return from.row(std::clamp(y, 0, last)); };
  std::fill_n(sums, count, 0u);
  for (int y = -box.radius; y <= box.radius; ++y) AddRow(row(y), count, sums);
  for (int y = 0; y <= last; ++y) {
    const std::uint8_t* const before = row(y - box.radius - 1);
    const std::uint8_t* const after = row(y + box.radius + 1);
    WeighRow(box, sums, before, after, count, to.row(y));
    const std::uint8_t* const leaving = row(y - box.radius);
    for (std::size_t i = 0; i < count; ++i) {
      sums[i] += static_cast<std::uint32_t>(after[i]) - leaving[i];
    }
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
