#include "model/precision.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>

#include <string>

namespace millrace::model {

c10::ScalarType Precision::image_type() const {
  switch (amp) {
    case Amp::kBf16:
      return c10::ScalarType::BFloat16;
    case Amp::kFp16:
      return c10::ScalarType::Half;
    default:
      return c10::ScalarType::Float;
  }
}

const char* Precision::Text() const {
  switch (amp) {
    case Amp::kBf16:
      return "bfloat16 autocast";
    case Amp::kFp16:
      return "float16 autocast";
    default:
      return tf32 ? "float32 with TF32" : "float32";
  }
}

Precision ReadPrecision(const Params& section) {
  const std::string amp = section.Choice("amp", {"off", "bf16", "fp16"}, "off");
  return {.amp = amp == "bf16"   ? Amp::kBf16
                 : amp == "fp16" ? Amp::kFp16
                                 : Amp::kOff,
          .tf32 = section.Flag("tf32", false)};
}

void AllowTf32(bool allow) {
  at::globalContext().setAllowTF32CuBLAS(allow);
  at::globalContext().setAllowTF32CuDNN(allow);
}

Autocast::Autocast(Amp amp, c10::DeviceType device) : on_(amp != Amp::kOff), device_(device) {
  if (!on_) return;
  at::autocast::set_autocast_dtype(device_, Precision{.amp = amp}.image_type());
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  if (!on_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, false);
}

}  // namespace millrace::model
