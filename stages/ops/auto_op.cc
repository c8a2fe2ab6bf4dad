#include "stages/ops/auto_op.h"

#include <cmath>

#include "stages/pixels/enhance.h"
#include "stages/pixels/tone.h"

namespace millrace::stages {

void ApplyAutoOp(AutoOp op, double magnitude, const Surround& surround, PixelScratch* scratch,
                 Pixels pixels) {
  const auto move = [&](const AffineMap& map) { TransformAffine(map, surround, scratch, pixels); };
  switch (op) {
    case AutoOp::kIdentity:
      return;
    case AutoOp::kShearX:
      return move(ShearXMap(magnitude));
    case AutoOp::kShearY:
      return move(ShearYMap(magnitude));
    case AutoOp::kTranslateX:
      return move(TranslateXMap(static_cast<int>(magnitude)));
    case AutoOp::kTranslateY:
      return move(TranslateYMap(static_cast<int>(magnitude)));
    case AutoOp::kRotate:
      return move(RotateMap(magnitude, pixels.size));
    case AutoOp::kBrightness:
      return AdjustBrightness(1.0 + magnitude, pixels);
    case AutoOp::kColor:
      return AdjustSaturation(1.0 + magnitude, scratch, pixels);
    case AutoOp::kContrast:
      return AdjustContrast(1.0 + magnitude, pixels);
    case AutoOp::kSharpness:
      return AdjustSharpness(1.0 + magnitude, scratch, pixels);
    case AutoOp::kPosterize:
      return Posterize(static_cast<int>(magnitude), pixels);
    case AutoOp::kSolarize:
      return Solarize(magnitude, pixels);
    case AutoOp::kAutoContrast:
      return Autocontrast(pixels);
    case AutoOp::kEqualize:
      return Equalize(pixels);
    case AutoOp::kInvert:
      return Invert(pixels);
  }
}

double Magnitudes::At(std::size_t bin, RandomStream* random) const {
  const double magnitude = values.empty() ? 0 : values[bin];
  return is_signed && random->Below(2) == 1 ? -magnitude : magnitude;
}

std::vector<double> Linspace(double low, double high, int bins) {
  const auto first = static_cast<float>(low);
  const auto last = static_cast<float>(high);
  const float step = (last - first) / static_cast<float>(bins - 1);
  std::vector<double> values;
  for (int i = 0; i < bins; ++i) {
    // The upper half is counted from its end; rounded once, as by a fused multiply-add.
    const double value = i < bins / 2 ? first + static_cast<double>(step) * i
                                      : last - static_cast<double>(step) * (bins - 1 - i);
    values.push_back(static_cast<float>(value));
  }
  return values;
}

std::vector<double> PosterizeBits(int most, int fewer, int bins) {
  std::vector<double> values;
  for (int i = 0; i < bins; ++i) {
    values.push_back(most - std::nearbyint(i / (static_cast<double>(bins - 1) / fewer)));
  }
  return values;
}

}  // namespace millrace::stages
