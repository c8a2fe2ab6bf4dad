// Bounds the length of a step's gradient.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace millrace::model {

// Scales all gradients down, in place, where their norm (2, over all of them as one vector) is more
// than `max_norm`: torch.nn.utils.clip_grad_norm_, on the operators that it uses itself. The device
// decides; nothing waits for it. A norm that is not finite makes all of them so.
// REQUIRES: at least one, all of one device; max_norm > 0
void ClipNorm(const std::vector<at::Tensor>& gradients, double max_norm);

}  // namespace millrace::model
