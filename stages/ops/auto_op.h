// The operations that the augmentation policies draw from, by strength: those of torchvision's
// autoaugment on Pillow pictures.
#pragma once

#include <cstdint>
#include <vector>

#include "base/random.h"
#include "stages/pixels/affine.h"
#include "stages/pixels/pixels.h"

namespace millrace::stages {

// In the order of torchvision's tables.
enum class AutoOp : std::uint8_t {
  kIdentity,
  kShearX,
  kShearY,
  kTranslateX,
  kTranslateY,
  kRotate,
  kBrightness,
  kColor,
  kContrast,
  kSharpness,
  kPosterize,
  kSolarize,
  kAutoContrast,
  kEqualize,
  kInvert,
};

// `magnitude` means to each operation what it means to torchvision's: a shear, pixels, degrees,
// what is added to a factor of 1, bits, a threshold, or nothing.
void ApplyAutoOp(AutoOp op, double magnitude, const Surround& surround, PixelScratch* scratch,
                 Pixels pixels);

// The strengths of one operation.
struct Magnitudes {
  AutoOp op;
  std::vector<double> values;  // by bin; empty for an operation that has none
  bool is_signed = false;      // the other direction is as likely

  // By bin; with a random sign. 0 without values.
  double At(std::size_t bin, RandomStream* random) const;
};

// `bins` values evenly from `low` to `high`, with the roundings of torch.linspace in float32 on
// processors with fused multiply-adds. REQUIRES: bins > 1
std::vector<double> Linspace(double low, double high, int bins);

// From `most` bits down by `fewer`, in whole bits. REQUIRES: bins > 1
std::vector<double> PosterizeBits(int most, int fewer, int bins);

}  // namespace millrace::stages
