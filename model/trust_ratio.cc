#include "model/trust_ratio.h"

#include <ATen/ATen.h>

namespace millrace::model {

at::Tensor Norms(const std::vector<at::Tensor>& tensors) {
  return at::stack(at::_foreach_norm(tensors, 2));
}

at::Tensor OneWhereZero(const at::Tensor& ratios, const at::Tensor& weight_norms,
                        const at::Tensor& update_norms) {
  return at::where((weight_norms > 0).logical_and(update_norms > 0), ratios, 1.0);
}

}  // namespace millrace::model
