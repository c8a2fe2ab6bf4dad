#include "stages/ops/resize_mode.h"

#include <string>

namespace millrace::stages {

ResizeMode ReadResizeMode(const Params& params) {
  const std::string mode = params.Choice("resize", {"pillow", "pillow12", "opencv"}, "pillow");
  if (mode == "opencv") return ResizeMode::kOpenCv;
  return mode == "pillow" ? ResizeMode::kPillow : ResizeMode::kPillow12;
}

}  // namespace millrace::stages
