#include "stages/ops/gaussian_blur.h"

#include "stages/ops/range_setting.h"
#include "stages/pixels/gaussian_blur.h"

namespace millrace::stages {

namespace {

class RandomGaussianBlur : public PixelOp {
 public:
  RandomGaussianBlur(Range sigma, double probability) : sigma_(sigma), probability_(probability) {}

  void Apply(RandomStream random, PixelScratch* scratch, Pixels pixels) const override {
    if (random.Uniform() < probability_) GaussianBlur(sigma_.Draw(&random), scratch, pixels);
  }

 private:
  Range sigma_;
  double probability_;
};

}  // namespace

std::unique_ptr<PixelOp> MakeGaussianBlur(const Params& params, Size) {
  return std::make_unique<RandomGaussianBlur>(ReadRange(params, "sigma", 0, 100, {0.1, 2.0}),
                                              ReadProbability(params, 1));
}

}  // namespace millrace::stages
