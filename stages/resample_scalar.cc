#include "stages/resample_scalar.h"

#include <algorithm>

#include "stages/image.h"

namespace millrace::stages {

namespace {

constexpr int kHalf = 1 << (kCoefficientBits - 1);

// The coefficient of one tap, put together again.
int Coefficient(const TapPair* pairs, int tap) {
  const TapPair& pair = pairs[tap / 2];
  const int shift = tap % 2 * 16;
  return ((pair.high >> shift & 0xFFFF) << kLowBits) + (pair.low >> shift & 0xFFFF);
}

std::uint8_t Clip(int sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kCoefficientBits, 0, 255));
}

}  // namespace

void ResampleRowsScalar(const ResampleTable& table, const std::uint8_t* const* sources, int rows,
                        std::uint8_t* const* outputs) {
  for (int row = 0; row < rows; ++row) {
    for (int output = 0; output < table.outputs(); ++output) {
      const TapPair* coefficients = table.coefficients(output);
      const std::uint8_t* pixel = sources[row] + table.first(output) * kChannels;
      int red = kHalf;
      int green = kHalf;
      int blue = kHalf;
      for (int tap = 0; tap < table.taps(output); ++tap, pixel += kChannels) {
        const int coefficient = Coefficient(coefficients, tap);
        red += coefficient * pixel[0];
        green += coefficient * pixel[1];
        blue += coefficient * pixel[2];
      }
      std::uint8_t* out = outputs[row] + output * kChannels;
      out[0] = Clip(red);
      out[1] = Clip(green);
      out[2] = Clip(blue);
    }
  }
}

void ResampleColumnsScalar(const TapPair* coefficients, int pairs,
                           const std::uint8_t* const* sources, std::size_t bytes,
                           std::uint8_t* out) {
  for (std::size_t x = 0; x < bytes; ++x) {
    int sum = kHalf;
    for (int tap = 0; tap < 2 * pairs; ++tap) {
      sum += Coefficient(coefficients, tap) * sources[tap][x];
    }
    out[x] = Clip(sum);
  }
}

}  // namespace millrace::stages
