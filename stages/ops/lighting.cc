#include "stages/ops/lighting.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "stages/pixels/lut.h"

namespace millrace::stages {

namespace {

constexpr std::array<double, kChannels> kEigenvalues = {0.2175, 0.0188, 0.0045};
// Of red, green and blue, for each eigenvalue.
constexpr double kEigenvectors[kChannels][kChannels] = {
    {-0.5675, 0.7192, 0.4009}, {-0.5808, -0.0045, -0.8140}, {-0.5836, -0.6948, 0.4203}};

// By the transform of Box and Muller, the second of the two numbers left.
double Normal(RandomStream* random) {
  const double length = std::sqrt(-2.0 * std::log(1.0 - random->Uniform()));
  return length * std::cos(2.0 * std::numbers::pi * random->Uniform());
}

Lut ShiftLut(double shift) {
  Lut lut;
  for (int i = 0; i < 256; ++i) {
    lut[static_cast<std::size_t>(i)] =
        static_cast<std::uint8_t>(std::clamp(std::nearbyint(i + 255.0 * shift), 0.0, 255.0));
  }
  return lut;
}

class Lighting : public PixelOp {
 public:
  explicit Lighting(double deviation) : deviation_(deviation) {}

  void Apply(RandomStream random, PixelScratch*, Pixels pixels) const override {
    std::array<double, kChannels> shares;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      shares[i] = deviation_ * Normal(&random) * kEigenvalues[i];
    }
    std::array<Lut, kChannels> luts;
    for (std::size_t channel = 0; channel < luts.size(); ++channel) {
      double shift = 0;
      for (std::size_t i = 0; i < shares.size(); ++i)
        shift += kEigenvectors[channel][i] * shares[i];
      luts[channel] = ShiftLut(shift);
    }
    ApplyLuts(luts, pixels);
  }

 private:
  double deviation_;
};

}  // namespace

std::unique_ptr<PixelOp> MakeLighting(const Params& params, Size) {
  return std::make_unique<Lighting>(params.NumberIn("std", 0, 10, 0.1));
}

}  // namespace millrace::stages
