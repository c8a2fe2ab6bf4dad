#include "stages/ops/affine_ops.h"

#include "stages/ops/affine_setting.h"
#include "stages/ops/range_setting.h"

namespace millrace::stages {

namespace {

using MakeMap = AffineMap (*)(double amount, Size size);

class RandomAffine : public PixelOp {
 public:
  RandomAffine(MakeMap make_map, Range amount, const Surround& surround, double probability)
      : make_map_(make_map), amount_(amount), surround_(surround), probability_(probability) {}

  void Apply(RandomStream random, PixelScratch* scratch, Pixels pixels) const override {
    if (random.Uniform() >= probability_) return;
    TransformAffine(make_map_(amount_.Draw(&random), pixels.size), surround_, scratch, pixels);
  }

 private:
  MakeMap make_map_;
  Range amount_;
  Surround surround_;
  double probability_;
};

std::unique_ptr<PixelOp> MakeAffine(const Params& params, Range amount, MakeMap make_map) {
  return std::make_unique<RandomAffine>(make_map, amount, ReadSurround(params),
                                        ReadProbability(params, 1));
}

Range ReadShear(const Params& params) {
  return ReadRange(params, "shear", -0.99, 0.99, {-0.3, 0.3});
}

Range ReadShift(const Params& params) {
  return ReadRange(params, "translate", -0.99, 0.99, {-0.45, 0.45});
}

}  // namespace

std::unique_ptr<PixelOp> MakeShearX(const Params& params, Size) {
  return MakeAffine(params, ReadShear(params), [](double shear, Size) { return ShearXMap(shear); });
}

std::unique_ptr<PixelOp> MakeShearY(const Params& params, Size) {
  return MakeAffine(params, ReadShear(params), [](double shear, Size) { return ShearYMap(shear); });
}

std::unique_ptr<PixelOp> MakeTranslateX(const Params& params, Size) {
  return MakeAffine(params, ReadShift(params), [](double share, Size size) {
    return TranslateXMap(static_cast<int>(share * size.width));
  });
}

std::unique_ptr<PixelOp> MakeTranslateY(const Params& params, Size) {
  return MakeAffine(params, ReadShift(params), [](double share, Size size) {
    return TranslateYMap(static_cast<int>(share * size.height));
  });
}

std::unique_ptr<PixelOp> MakeRotate(const Params& params, Size) {
  return MakeAffine(params, ReadRangeAround(params, "degrees", 0, -360, 360, 30), &RotateMap);
}

}  // namespace millrace::stages
