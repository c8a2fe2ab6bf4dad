#include "stages/region/idct_scalar.h"

#include <algorithm>
#include <array>

namespace millrace::stages::region {
namespace {

constexpr std::size_t kSide = 8;
using Line = std::array<std::int16_t, kSide>;

std::int16_t Add(std::int16_t a, std::int16_t b) { return static_cast<std::int16_t>(a + b); }
std::int16_t Subtract(std::int16_t a, std::int16_t b) { return static_cast<std::int16_t>(a - b); }

// Sums of 32 bits that may outgrow them.
std::int32_t Sum(std::int32_t a, std::int32_t b) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
}
std::int32_t Difference(std::int32_t a, std::int32_t b) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) - static_cast<std::uint32_t>(b));
}

std::int32_t Weighted(std::int16_t a, std::int32_t weight_a, std::int16_t b,
                      std::int32_t weight_b) {
  return Sum(a * weight_a, b * weight_b);
}

template <int kShift>
std::int16_t Rounded(std::int32_t sum) {
  const std::int32_t shifted = Sum(sum, 1 << (kShift - 1)) >> kShift;
  return static_cast<std::int16_t>(std::clamp(shifted, -32768, 32767));
}

template <int kShift>
Line Transform(const Line& in) {
  const std::int32_t even3 = Weighted(in[2], kFix0541 + kFix0765, in[6], kFix0541);
  const std::int32_t even2 = Weighted(in[2], kFix0541, in[6], kFix0541 - kFix1847);
  const std::int32_t even0 = Add(in[0], in[4]) * (1 << 13);
  const std::int32_t even1 = Subtract(in[0], in[4]) * (1 << 13);
  const std::array<std::int32_t, 4> even = {Sum(even0, even3), Sum(even1, even2),
                                            Difference(even1, even2), Difference(even0, even3)};
  const std::int16_t sum73 = Add(in[7], in[3]);
  const std::int16_t sum51 = Add(in[5], in[1]);
  const std::int32_t z3 = Weighted(sum73, kFix1175 - kFix1961, sum51, kFix1175);
  const std::int32_t z4 = Weighted(sum73, kFix1175, sum51, kFix1175 - kFix0390);
  const std::array<std::int32_t, 4> odd = {
      Sum(Weighted(in[7], -kFix0899, in[1], kFix1501 - kFix0899), z4),
      Sum(Weighted(in[5], -kFix2562, in[3], kFix3072 - kFix2562), z3),
      Sum(Weighted(in[5], kFix2053 - kFix2562, in[3], -kFix2562), z4),
      Sum(Weighted(in[7], kFix0298 - kFix0899, in[1], -kFix0899), z3)};
  Line out;
  for (std::size_t i = 0; i < 4; ++i) {
    out[i] = Rounded<kShift>(Sum(even[i], odd[i]));
    out[kSide - 1 - i] = Rounded<kShift>(Difference(even[i], odd[i]));
  }
  return out;
}

}  // namespace

bool InverseDctScalar(std::int16_t* coefficients, const Quantizers& quantizers, int blocks,
                      std::uint8_t* samples, std::size_t row_bytes) {
  bool is_large = false;
  const auto look_at = [&](std::int32_t number) {
    is_large |= number >= kLimit || number <= -kLimit;
  };
  for (int block = 0; block < blocks; ++block) {
    const std::int16_t* const of_block = coefficients + PlaceOfBlock(block);
    std::array<Line, kSide> columns;
    for (std::size_t x = 0; x < kSide; ++x) {
      Line column;
      for (std::size_t y = 0; y < kSide; ++y) {
        const auto at = static_cast<std::uint8_t>(y * kSide + x);
        const std::int32_t product = of_block[PlaceInGroup(at)] * quantizers[at];
        look_at(product);
        column[y] = static_cast<std::int16_t>(product);
      }
      columns[x] = Transform<kFirstShift>(column);
      for (const std::int16_t number : columns[x]) look_at(number);
    }
    for (std::size_t y = 0; y < kSide; ++y) {
      Line row;
      for (std::size_t x = 0; x < kSide; ++x) row[x] = columns[x][y];
      row = Transform<kSecondShift>(row);
      for (std::size_t x = 0; x < kSide; ++x) {
        samples[y * row_bytes + x] =
            static_cast<std::uint8_t>(std::clamp<int>(row[x], -128, 127) + 128);
      }
    }
    samples += kSide;
  }
  std::fill_n(coefficients, PlaceOfBlock(InWholeGroups(blocks)), 0);
  return !is_large;
}

}  // namespace millrace::stages::region
