// What optimizers need that set each layer's rate by lengths (lars.h, lamb.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace millrace::model {

// The 2-norm of each tensor, in one vector on their device. REQUIRES: at least one
at::Tensor Norms(const std::vector<at::Tensor>& tensors);

// `ratios`, and 1 where one of the two norms is not above 0.
at::Tensor OneWhereZero(const at::Tensor& ratios, const at::Tensor& weight_norms,
                        const at::Tensor& update_norms);

}  // namespace millrace::model
