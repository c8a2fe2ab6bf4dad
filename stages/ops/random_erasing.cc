#include "stages/ops/random_erasing.h"

#include <cmath>

#include "stages/ops/colour_setting.h"
#include "stages/ops/range_setting.h"

namespace millrace::stages {

namespace {

class RandomErasing : public PixelOp {
 public:
  RandomErasing(Range scale, Range ratio, Colour value, double probability)
      : scale_(scale), ratio_(ratio), value_(value), probability_(probability) {}

  void Apply(RandomStream random, PixelScratch*, Pixels pixels) const override {
    if (random.Uniform() >= probability_) return;
    const auto area = static_cast<double>(pixels.count());
    // Ten tries; a picture in which none fits stays as it is.
    for (int attempt = 0; attempt < 10; ++attempt) {
      const double erased = area * scale_.Draw(&random);
      const double ratio =  // height / width
          std::exp(random.Uniform(std::log(ratio_.low), std::log(ratio_.high)));
      // Halves go to the even neighbour.
      Box box;
      box.height = static_cast<int>(std::nearbyint(std::sqrt(erased * ratio)));
      box.width = static_cast<int>(std::nearbyint(std::sqrt(erased / ratio)));
      if (box.height >= pixels.size.height || box.width >= pixels.size.width) continue;
      box.y = Below(pixels.size.height - box.height + 1, &random);
      box.x = Below(pixels.size.width - box.width + 1, &random);
      return FillBox(box, value_, pixels);
    }
  }

 private:
  static int Below(int bound, RandomStream* random) {
    return static_cast<int>(random->Below(static_cast<std::uint32_t>(bound)));
  }

  Range scale_;
  Range ratio_;
  Colour value_;
  double probability_;
};

}  // namespace

std::unique_ptr<PixelOp> MakeRandomErasing(const Params& params, Size) {
  return std::make_unique<RandomErasing>(ReadRange(params, "scale", 0, 1, {0.02, 0.33}),
                                         ReadRange(params, "ratio", 1e-3, 1e3, {0.3, 3.3}),
                                         ReadColour(params, "value", {124, 116, 104}),
                                         ReadProbability(params, 0.5));
}

}  // namespace millrace::stages
