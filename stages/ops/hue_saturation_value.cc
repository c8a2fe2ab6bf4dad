#include "stages/ops/hue_saturation_value.h"

#include <algorithm>
#include <cmath>

#include "stages/ops/range_setting.h"
#include "stages/pixels/hsv_shift.h"

namespace millrace::stages {

namespace {

// Cut to whole numbers, as numpy's astype() does.
Lut HueLut(double shift) {
  Lut lut;
  for (int i = 0; i < 256; ++i) {
    double hue = std::fmod(i + shift, 180.0);
    if (hue < 0) hue += 180.0;
    // A number just below 0 is 180 after the addition, and that is again 0.
    lut[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(hue < 180.0 ? hue : 0.0);
  }
  return lut;
}

Lut ShiftLut(double shift) {
  Lut lut;
  for (int i = 0; i < 256; ++i) {
    lut[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(std::clamp(i + shift, 0.0, 255.0));
  }
  return lut;
}

class HueSaturationValue : public PixelOp {
 public:
  HueSaturationValue(Range hue, Range saturation, Range value, double probability)
      : hue_(hue), saturation_(saturation), value_(value), probability_(probability) {}

  void Apply(RandomStream random, PixelScratch*, Pixels pixels) const override {
    if (random.Uniform() >= probability_) return;
    const double hue = hue_.Draw(&random);
    const double saturation = saturation_.Draw(&random);
    const double value = value_.Draw(&random);
    // Converting to HSV and back changes pixels by itself.
    if (hue == 0 && saturation == 0 && value == 0) return;
    ShiftHsv({.hue = HueLut(hue), .saturation = ShiftLut(saturation), .value = ShiftLut(value)},
             pixels);
  }

 private:
  Range hue_;
  Range saturation_;
  Range value_;
  double probability_;
};

}  // namespace

std::unique_ptr<PixelOp> MakeHueSaturationValue(const Params& params, Size) {
  return std::make_unique<HueSaturationValue>(
      ReadRangeAround(params, "hue_shift_limit", 0, -180, 180, 20),
      ReadRangeAround(params, "sat_shift_limit", 0, -255, 255, 30),
      ReadRangeAround(params, "val_shift_limit", 0, -255, 255, 20), ReadProbability(params, 0.5));
}

}  // namespace millrace::stages
