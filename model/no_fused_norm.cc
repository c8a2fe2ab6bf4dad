#include "base/check.h"
#include "model/fused_norm.h"

namespace millrace::model {

bool TakesFusedNorm(const at::Tensor&, bool) { return false; }

at::Tensor FusedNorm(const BatchNorm2d&, const at::Tensor&, bool) {
  MILLRACE_CHECK(false);
  return {};
}

at::Tensor FusedNormRelu(const BatchNorm2d&, const at::Tensor&, bool) {
  MILLRACE_CHECK(false);
  return {};
}

Fork FusedNormReluPool(const BatchNorm2d&, const at::Tensor&, bool) {
  MILLRACE_CHECK(false);
  return {};
}

Fork FusedNormAddRelu(const BatchNorm2d&, const at::Tensor&, const at::Tensor&, bool) {
  MILLRACE_CHECK(false);
  return {};
}

}  // namespace millrace::model
