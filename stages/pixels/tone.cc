#include "stages/pixels/tone.h"

#include <algorithm>

#include "base/check.h"
#include "stages/pixels/lut.h"

namespace millrace::stages {

namespace {

template <typename Function>
Lut MakeLut(const Function& function) {
  Lut lut;
  for (int i = 0; i < 256; ++i) {
    lut[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(function(i));
  }
  return lut;
}

Lut Identity() {
  return MakeLut([](int i) { return i; });
}

Lut EqualizingLut(const Histogram& histogram) {
  std::uint32_t sum = 0;
  std::uint32_t last = 0;
  int used = 0;
  for (const std::uint32_t count : histogram) {
    if (count == 0) continue;
    sum += count;
    last = count;
    ++used;
  }
  const std::uint32_t step = (sum - last) / 255;
  if (used <= 1 || step == 0) return Identity();
  std::uint32_t at = step / 2;
  return MakeLut([&](int i) {
    const std::uint32_t value = std::min(at / step, 255u);
    at += histogram[static_cast<std::size_t>(i)];
    return value;
  });
}

Lut StretchingLut(const Histogram& histogram) {
  const auto used = [](std::uint32_t count) { return count != 0; };
  const auto first = std::find_if(histogram.begin(), histogram.end(), used);
  const auto last = std::find_if(histogram.rbegin(), histogram.rend(), used);
  const auto low = static_cast<int>(first - histogram.begin());
  const auto high = static_cast<int>(histogram.rend() - last) - 1;
  if (high <= low) return Identity();
  const double scale = 255.0 / (high - low);
  const double offset = -low * scale;
  return MakeLut([&](int i) { return std::clamp(static_cast<int>(i * scale + offset), 0, 255); });
}

template <typename MakeChannelLut>
void ApplyChannelLuts(const MakeChannelLut& make, Pixels pixels) {
  const std::array<Histogram, kChannels> histograms = Histograms(pixels);
  ApplyLuts({make(histograms[0]), make(histograms[1]), make(histograms[2])}, pixels);
}

}  // namespace

void Invert(Pixels pixels) {
  ApplyLut(MakeLut([](int i) { return 255 - i; }), pixels);
}

void Solarize(double threshold, Pixels pixels) {
  ApplyLut(MakeLut([&](int i) { return i < threshold ? i : 255 - i; }), pixels);
}

void Posterize(int bits, Pixels pixels) {
  MILLRACE_CHECK(bits >= 0 && bits <= 8);
  ApplyLut(MakeLut([&](int i) { return i & ~((1 << (8 - bits)) - 1); }), pixels);
}

void Equalize(Pixels pixels) { ApplyChannelLuts(EqualizingLut, pixels); }

void Autocontrast(Pixels pixels) { ApplyChannelLuts(StretchingLut, pixels); }

}  // namespace millrace::stages
