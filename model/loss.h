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
// Keys: `name` ("cross_entropy"), `label_smoothing` (the share of the target that is spread evenly
// over all classes, arXiv:1512.00567). Throws Error (exit code 2) for a wrong value.
std::unique_ptr<Loss> MakeLoss(const Params& section,
                               const Components& known = BuiltInComponents());

Table<LossMaker> BuiltInLosses();

}  // namespace millrace::model
