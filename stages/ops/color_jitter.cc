#include "stages/ops/color_jitter.h"

#include <array>
#include <utility>

#include "stages/ops/enhance_ops.h"
#include "stages/ops/range_setting.h"
#include "stages/pixels/enhance.h"
#include "stages/pixels/hue.h"

namespace millrace::stages {

namespace {

constexpr std::size_t kAdjustments = 4;  // brightness, contrast, saturation, hue

class ColorJitter : public PixelOp {
 public:
  explicit ColorJitter(const std::array<Range, kAdjustments>& factors) : factors_(factors) {}

  void Apply(RandomStream random, PixelScratch* scratch, Pixels pixels) const override {
    std::array<std::size_t, kAdjustments> order{0, 1, 2, 3};
    for (std::size_t i = order.size() - 1; i > 0; --i) {
      std::swap(order[i], order[random.Below(static_cast<std::uint32_t>(i + 1))]);
    }
    std::array<double, kAdjustments> factors{};
    for (std::size_t i = 0; i < factors.size(); ++i) {
      if (Happens(i)) factors[i] = factors_[i].Draw(&random);
    }
    for (const std::size_t i : order) {
      if (Happens(i)) Adjust(i, factors[i], scratch, pixels);
    }
  }

  bool Happens(std::size_t i) const {
    const double neutral = i == kHue ? 0 : 1;
    return factors_[i] != Range{neutral, neutral};
  }

 private:
  static constexpr std::size_t kHue = 3;

  static void Adjust(std::size_t i, double factor, PixelScratch* scratch, Pixels pixels) {
    switch (i) {
      case 0:
        return AdjustBrightness(factor, pixels);
      case 1:
        return AdjustContrast(factor, pixels);
      case 2:
        return AdjustSaturation(factor, scratch, pixels);
      default:
        return AdjustHue(factor, pixels);
    }
  }

  std::array<Range, kAdjustments> factors_;
};

}  // namespace

std::unique_ptr<PixelOp> MakeColorJitter(const Params& params, Size) {
  const auto factor = [&](const char* key) {
    return ReadRangeAround(params, key, 1, 0, kLargestFactor, 0);
  };
  auto jitter = std::make_unique<ColorJitter>(
      std::array{factor("brightness"), factor("contrast"), factor("saturation"),
                 ReadRangeAround(params, "hue", 0, -0.5, 0.5, 0)});
  for (std::size_t i = 0; i < kAdjustments; ++i) {
    if (jitter->Happens(i)) return jitter;
  }
  params.Blame("brightness",
               "has no effect, nor have contrast, saturation and hue; give at least one of them, "
               "or remove the operation");
}

}  // namespace millrace::stages
