// What training minimises.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "base/params.h"
#include "model/components.h"

namespace millrace::model {

// Stateless; any thread.
class Loss {
 public:
  virtual ~Loss() = default;

  // The loss of each sample, float [N]. `targets` are class indices, int64 [N], or the wanted
  // shares of the classes, float [N, C].
  virtual at::Tensor PerSample(const at::Tensor& logits, const at::Tensor& targets) const = 0;

  // The mean over the batch, a scalar to call backward() on.
  virtual at::Tensor Mean(const at::Tensor& logits, const at::Tensor& targets) const = 0;
};

// The loss that the [loss] section asks for; cross entropy without smoothing when it is empty.
// Keys: `name` ("cross_entropy", or "binary_cross_entropy": each class is a question of its own),
// `label_smoothing` (the share of the target that is spread evenly over all classes,
// arXiv:1512.00567), and for binary cross entropy `sum_classes`: the sum over a sample's classes
// instead of their mean. Throws Error (exit code 2) for a wrong value and for a setting without
// effect.
std::unique_ptr<Loss> MakeLoss(const Params& section,
                               const Components& known = BuiltInComponents());

Table<LossMaker> BuiltInLosses();

}  // namespace millrace::model
