#include "stages/ops/resize_op.h"

#include <variant>

#include "stages/ops/resize_mode.h"
#include "stages/ops/size_setting.h"

namespace millrace::stages {

namespace {

struct ShortSide {
  int pixels;
};

class ResizeOp : public GeometryOp {
 public:
  ResizeOp(std::variant<ShortSide, Size> target, ResizeMode mode) : target_(target), mode_(mode) {}

  void Scale(const Scaling& scaling) override {
    if (Size* exact = std::get_if<Size>(&target_)) {
      *exact = scaling(*exact);
    } else {
      std::get<ShortSide>(target_).pixels = scaling(std::get<ShortSide>(target_).pixels);
    }
  }

  GeometryPhase phase() const override { return GeometryPhase::kResample; }
  std::optional<ResizeMode> resize_mode() const override { return mode_; }

  std::optional<Size> OutputSize(std::optional<Size> before) const override {
    if (const Size* exact = std::get_if<Size>(&target_)) return *exact;
    if (!before) return std::nullopt;
    return ResizeShortSide(*before, std::get<ShortSide>(target_).pixels);
  }

  Outcome Fold(RandomStream, Geometry* geometry) const override {
    geometry->resized = *OutputSize(Size{geometry->crop.width, geometry->crop.height});
    geometry->window = {0, 0, geometry->resized.width, geometry->resized.height};
    geometry->mode = mode_;
    return Ok();
  }

 private:
  std::variant<ShortSide, Size> target_;
  ResizeMode mode_;
};

}  // namespace

Size ResizeShortSide(Size picture, int side) {
  const bool upright = picture.width <= picture.height;
  const int short_side = upright ? picture.width : picture.height;
  const int long_side = upright ? picture.height : picture.width;
  const int resized = static_cast<int>(static_cast<double>(side) * long_side / short_side);
  return upright ? Size{side, resized} : Size{resized, side};
}

std::unique_ptr<GeometryOp> MakeResize(const Params& params) {
  const ResizeMode mode = ReadResizeMode(params);
  if (params.Has("width") || params.Has("height")) {
    if (params.Has("size")) params.Blame("size", "has no effect beside width and height");
    return std::make_unique<ResizeOp>(ReadWidthAndHeight(params), mode);
  }
  const ShortSide side{static_cast<int>(params.IntegerIn("size", 1, kLongestSide))};
  return std::make_unique<ResizeOp>(side, mode);
}

}  // namespace millrace::stages
