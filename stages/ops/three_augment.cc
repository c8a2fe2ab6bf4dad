#include "stages/ops/three_augment.h"

#include "stages/pixels/enhance.h"
#include "stages/pixels/gaussian_blur.h"
#include "stages/pixels/tone.h"

namespace millrace::stages {

namespace {

class ThreeAugment : public PixelOp {
 public:
  void Apply(RandomStream random, PixelScratch* scratch, Pixels pixels) const override {
    switch (random.Below(3)) {
      case 0:
        return Grayscale(pixels);
      case 1:
        return Solarize(128, pixels);
      default:
        return GaussianBlur(random.Uniform(0.1, 2.0), scratch, pixels);
    }
  }
};

}  // namespace

std::unique_ptr<PixelOp> MakeThreeAugment(const Params&, Size) {
  return std::make_unique<ThreeAugment>();
}

}  // namespace millrace::stages
