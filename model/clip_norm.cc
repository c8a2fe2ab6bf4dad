#include "model/clip_norm.h"

#include <ATen/ATen.h>

namespace millrace::model {

// PyTorch's guard against division by zero.
constexpr double kEpsilon = 1e-6;

void ClipNorm(const std::vector<at::Tensor>& gradients, double max_norm) {
  const at::Tensor norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients, 2)), 2);
  at::_foreach_mul_(gradients, ((norm + kEpsilon).reciprocal() * max_norm).clamp_max(1.0));
}

}  // namespace millrace::model
