#include "stages/linear_scalar.h"

#include "stages/image.h"
#include "stages/linear.h"

namespace millrace::stages {

void LinearRowsScalar(const LinearTable& table, const std::uint8_t* const* sources, int rows,
                      std::int16_t* const* outputs) {
  for (int row = 0; row < rows; ++row) {
    std::int16_t* out = outputs[row];
    for (int output = 0; output < table.outputs(); ++output, out += kChannels) {
      const LinearTap& tap = table.tap(output);
      const std::uint8_t* first = sources[row] + tap.first * kChannels;
      const std::uint8_t* second = sources[row] + tap.second * kChannels;
      for (int channel = 0; channel < kChannels; ++channel) {
        const int sum = first[channel] * tap.first_weight + second[channel] * tap.second_weight;
        out[channel] = static_cast<std::int16_t>(sum >> kLinearDropped);
      }
    }
  }
}

void LinearColumnsScalar(const LinearTap& tap, const std::int16_t* first,
                         const std::int16_t* second, std::size_t count, std::uint8_t* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const int sum = (first[i] * tap.first_weight >> 16) + (second[i] * tap.second_weight >> 16);
    out[i] = static_cast<std::uint8_t>((sum + 2) >> 2);
  }
}

}  // namespace millrace::stages
