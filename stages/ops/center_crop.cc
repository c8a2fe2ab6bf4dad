#include "stages/ops/center_crop.h"

#include <algorithm>
#include <cmath>

#include "stages/ops/size_setting.h"

namespace millrace::stages {

namespace {

// Where `kept` pixels start in `all`, in Python's int(round((all - kept) / 2.0)): halves to even.
int Margin(int all, int kept) { return static_cast<int>(std::nearbyint((all - kept) / 2.0)); }

class CenterCrop : public GeometryOp {
 public:
  explicit CenterCrop(Size size) : size_(size) {}

  void Scale(const Scaling& scaling) override { size_ = scaling(size_); }
  GeometryPhase phase() const override { return GeometryPhase::kCenterCrop; }
  std::optional<Size> OutputSize(std::optional<Size>) const override { return size_; }

  Outcome Fold(RandomStream, Geometry* geometry) const override {
    const Box& before = geometry->window;
    if (before.width < size_.width || before.height < size_.height) {
      return MakeFault(
          "center_crop takes {}x{} pixels, but only {}x{} reach it; put {{ op = \"resize\", size = "
          "{} "
          "}} before it",
          size_.width, size_.height, before.width, before.height,
          std::max(size_.width, size_.height));
    }
    geometry->window = {before.x + Margin(before.width, size_.width),
                        before.y + Margin(before.height, size_.height), size_.width, size_.height};
    return Ok();
  }

 private:
  Size size_;
};

}  // namespace

std::unique_ptr<GeometryOp> MakeCenterCrop(const Params& params) {
  return std::make_unique<CenterCrop>(ReadSize(params));
}

}  // namespace millrace::stages
