#include "stages/ops/random_resized_crop.h"

#include <algorithm>
#include <cmath>

#include "stages/ops/range_setting.h"
#include "stages/ops/resize_mode.h"
#include "stages/ops/size_setting.h"

namespace millrace::stages {

namespace {

// Python's round(): halves go to the even neighbour, which is the default rounding of IEEE 754.
double RoundHalfEven(double value) { return std::nearbyint(value); }

class RandomResizedCrop : public GeometryOp {
 public:
  RandomResizedCrop(Size size, ResizeMode mode, const RandomCropLimits& limits)
      : size_(size), mode_(mode), limits_(limits) {}

  void Scale(const Scaling& scaling) override { size_ = scaling(size_); }
  GeometryPhase phase() const override { return GeometryPhase::kResample; }
  std::optional<ResizeMode> resize_mode() const override { return mode_; }
  std::optional<Size> OutputSize(std::optional<Size>) const override { return size_; }

  Outcome Fold(RandomStream random, Geometry* geometry) const override {
    geometry->crop = RandomCropBox({geometry->crop.width, geometry->crop.height}, limits_, random);
    geometry->resized = size_;
    geometry->window = {0, 0, size_.width, size_.height};
    geometry->mode = mode_;
    return Ok();
  }

 private:
  Size size_;
  ResizeMode mode_;
  RandomCropLimits limits_;
};

}  // namespace

Box RandomCropBox(Size picture, const RandomCropLimits& limits, RandomStream random) {
  const double area = static_cast<double>(picture.width) * picture.height;
  const double least_log = std::log(limits.least_ratio);
  const double most_log = std::log(limits.most_ratio);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target = area * random.Uniform(limits.least_scale, limits.most_scale);
    const double ratio = std::exp(random.Uniform(least_log, most_log));
    const double width = RoundHalfEven(std::sqrt(target * ratio));
    const double height = RoundHalfEven(std::sqrt(target / ratio));
    if (!(0 < width && width <= picture.width && 0 < height && height <= picture.height)) continue;
    Box box{0, 0, static_cast<int>(width), static_cast<int>(height)};
    box.y =
        static_cast<int>(random.Below(static_cast<std::uint32_t>(picture.height - box.height + 1)));
    box.x =
        static_cast<int>(random.Below(static_cast<std::uint32_t>(picture.width - box.width + 1)));
    return box;
  }
  const double ratio = static_cast<double>(picture.width) / picture.height;
  Box box{0, 0, picture.width, picture.height};
  // torchvision rounds extreme pictures to an empty box; ours keeps one pixel.
  if (ratio < limits.least_ratio) {
    box.height = std::max(1, static_cast<int>(RoundHalfEven(picture.width / limits.least_ratio)));
  } else if (ratio > limits.most_ratio) {
    box.width = std::max(1, static_cast<int>(RoundHalfEven(picture.height * limits.most_ratio)));
  }
  box.x = (picture.width - box.width) / 2;
  box.y = (picture.height - box.height) / 2;
  return box;
}

std::unique_ptr<GeometryOp> MakeRandomResizedCrop(const Params& params) {
  const RandomCropLimits defaults;
  const Range scale =
      ReadRange(params, "scale", 1e-6, 1.0, {defaults.least_scale, defaults.most_scale});
  const Range ratio =
      ReadRange(params, "ratio", 1e-3, 1e3, {defaults.least_ratio, defaults.most_ratio});
  return std::make_unique<RandomResizedCrop>(
      ReadSize(params), ReadResizeMode(params),
      RandomCropLimits{scale.low, scale.high, ratio.low, ratio.high});
}

}  // namespace millrace::stages
