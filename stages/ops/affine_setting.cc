#include "stages/ops/affine_setting.h"

#include "stages/ops/colour_setting.h"

namespace millrace::stages {

Surround ReadSurround(const Params& params, Interpolation fallback) {
  const bool bilinear =
      params.Choice("interpolation", {"nearest", "bilinear"},
                    fallback == Interpolation::kBilinear ? "bilinear" : "nearest") == "bilinear";
  return {.interpolation = bilinear ? Interpolation::kBilinear : Interpolation::kNearest,
          .fill = ReadColour(params, "fill", {0, 0, 0})};
}

}  // namespace millrace::stages
