#include "stages/ops/flip.h"

namespace millrace::stages {

namespace {

class Flip : public GeometryOp {
 public:
  Flip(bool Geometry::*direction, double probability)
      : direction_(direction), probability_(probability) {}

  GeometryPhase phase() const override { return GeometryPhase::kFlip; }
  std::optional<Size> OutputSize(std::optional<Size> before) const override { return before; }

  Outcome Fold(RandomStream random, Geometry* geometry) const override {
    if (random.Uniform() < probability_) geometry->*direction_ = !(geometry->*direction_);
    return Ok();
  }

 private:
  bool Geometry::*direction_;
  double probability_;
};

std::unique_ptr<GeometryOp> MakeFlip(const Params& params, bool Geometry::*direction) {
  return std::make_unique<Flip>(direction, params.NumberIn("p", 0.0, 1.0, 0.5));
}

}  // namespace

std::unique_ptr<GeometryOp> MakeHorizontalFlip(const Params& params) {
  return MakeFlip(params, &Geometry::flip_horizontal);
}

std::unique_ptr<GeometryOp> MakeVerticalFlip(const Params& params) {
  return MakeFlip(params, &Geometry::flip_vertical);
}

}  // namespace millrace::stages
