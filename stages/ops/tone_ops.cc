#include "stages/ops/tone_ops.h"

#include <utility>

#include "stages/ops/range_setting.h"
#include "stages/pixels/enhance.h"
#include "stages/pixels/tone.h"

namespace millrace::stages {

namespace {

// Changes a picture, or with probability 1 - p does not.
template <typename Change>
class Sometimes : public PixelOp {
 public:
  Sometimes(double probability, Change change)
      : probability_(probability), change_(std::move(change)) {}

  void Apply(RandomStream random, PixelScratch*, Pixels pixels) const override {
    if (random.Uniform() < probability_) change_(pixels);
  }

 private:
  double probability_;
  Change change_;
};

template <typename Change>
std::unique_ptr<PixelOp> MakeSometimes(const Params& params, double probability, Change change) {
  return std::make_unique<Sometimes<Change>>(ReadProbability(params, probability),
                                             std::move(change));
}

}  // namespace

std::unique_ptr<PixelOp> MakeInvert(const Params& params, Size) {
  return MakeSometimes(params, 0.5, &Invert);
}

std::unique_ptr<PixelOp> MakeSolarize(const Params& params, Size) {
  const double threshold = params.NumberIn("threshold", 0, 256, 128);
  return MakeSometimes(params, 0.5, [=](Pixels pixels) { Solarize(threshold, pixels); });
}

std::unique_ptr<PixelOp> MakePosterize(const Params& params, Size) {
  const auto bits = static_cast<int>(params.IntegerIn("bits", 1, 8, 4));
  return MakeSometimes(params, 0.5, [=](Pixels pixels) { Posterize(bits, pixels); });
}

std::unique_ptr<PixelOp> MakeEqualize(const Params& params, Size) {
  return MakeSometimes(params, 0.5, &Equalize);
}

std::unique_ptr<PixelOp> MakeAutocontrast(const Params& params, Size) {
  return MakeSometimes(params, 0.5, &Autocontrast);
}

std::unique_ptr<PixelOp> MakeGrayscale(const Params& params, Size) {
  return MakeSometimes(params, 0.1, &Grayscale);
}

}  // namespace millrace::stages
