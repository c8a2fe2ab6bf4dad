#include "stages/region/color_scalar.h"

#include <algorithm>

#include "stages/image.h"

namespace millrace::stages::region {
namespace {

std::uint8_t Clamp(int value) { return static_cast<std::uint8_t>(std::clamp(value, 0, 255)); }

int Weighted(int a, std::int32_t weight_a, int b, std::int32_t weight_b) {
  return (a * weight_a + b * weight_b + 32768) >> 16;
}

}  // namespace

void InterpolateChromaScalar(Sampling sampling, const ChromaRow& row, int count,
                             std::uint8_t* out) {
  const auto down = [&](int i) { return 3 * row.near[i] + row.far[i]; };
  for (int i = 0; i < count; ++i) {
    switch (sampling) {
      case Sampling::k444:
        break;
      case Sampling::k440:
        out[i] = static_cast<std::uint8_t>((down(i) + (row.is_lower ? 2 : 1)) >> 2);
        break;
      case Sampling::k422:
        out[2 * i] = static_cast<std::uint8_t>((3 * row.near[i] + row.near[i - 1] + 1) >> 2);
        out[2 * i + 1] = static_cast<std::uint8_t>((3 * row.near[i] + row.near[i + 1] + 2) >> 2);
        break;
      case Sampling::k420:
        out[2 * i] = static_cast<std::uint8_t>((3 * down(i) + down(i - 1) + 8) >> 4);
        out[2 * i + 1] = static_cast<std::uint8_t>((3 * down(i) + down(i + 1) + 7) >> 4);
        break;
    }
  }
}

void ConvertRowScalar(const std::uint8_t* luma, const std::uint8_t* blue, const std::uint8_t* red,
                      int count, std::uint8_t* rgb) {
  for (int i = 0; i < count; ++i, rgb += kChannels) {
    const int y = luma[i];
    const int cb = blue[i] - 128;
    const int cr = red[i] - 128;
    rgb[0] = Clamp(y + cr + Weighted(cr, kRedOfRed, 0, 0));
    rgb[1] = Clamp(y - cr + Weighted(cb, kGreenOfBlue, cr, kGreenOfRed));
    rgb[2] = Clamp(y + 2 * cb + Weighted(cb, kBlueOfBlue, 0, 0));
  }
}

}  // namespace millrace::stages::region
