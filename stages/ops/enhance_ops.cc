#include "stages/ops/enhance_ops.h"

#include "stages/ops/range_setting.h"
#include "stages/pixels/enhance.h"
#include "stages/pixels/hue.h"

namespace millrace::stages {

namespace {

using Adjust = void (*)(double factor, PixelScratch* scratch, Pixels pixels);

class Enhance : public PixelOp {
 public:
  Enhance(Adjust adjust, Range factor, double probability)
      : adjust_(adjust), factor_(factor), probability_(probability) {}

  void Apply(RandomStream random, PixelScratch* scratch, Pixels pixels) const override {
    if (random.Uniform() < probability_) adjust_(factor_.Draw(&random), scratch, pixels);
  }

 private:
  Adjust adjust_;
  Range factor_;
  double probability_;
};

std::unique_ptr<PixelOp> MakeEnhance(const Params& params, Adjust adjust) {
  return std::make_unique<Enhance>(adjust,
                                   ReadRange(params, "factor", 0, kLargestFactor, {0.5, 1.5}),
                                   ReadProbability(params, 1));
}

}  // namespace

std::unique_ptr<PixelOp> MakeBrightness(const Params& params, Size) {
  return MakeEnhance(params, [](double factor, PixelScratch*, Pixels pixels) {
    AdjustBrightness(factor, pixels);
  });
}

std::unique_ptr<PixelOp> MakeContrast(const Params& params, Size) {
  return MakeEnhance(
      params, [](double factor, PixelScratch*, Pixels pixels) { AdjustContrast(factor, pixels); });
}

std::unique_ptr<PixelOp> MakeSaturation(const Params& params, Size) {
  return MakeEnhance(params, &AdjustSaturation);
}

std::unique_ptr<PixelOp> MakeSharpness(const Params& params, Size) {
  return MakeEnhance(params, &AdjustSharpness);
}

std::unique_ptr<PixelOp> MakeHue(const Params& params, Size) {
  return std::make_unique<Enhance>(
      [](double factor, PixelScratch*, Pixels pixels) { AdjustHue(factor, pixels); },
      ReadRange(params, "factor", -0.5, 0.5, {-0.1, 0.1}), ReadProbability(params, 1));
}

std::unique_ptr<PixelOp> MakeAdjustSharpness(const Params& params, Size) {
  const double factor = params.NumberIn("sharpness_factor", 0, kLargestFactor, 2);
  return std::make_unique<Enhance>(&AdjustSharpness, Range{factor, factor},
                                   ReadProbability(params, 0.5));
}

}  // namespace millrace::stages
