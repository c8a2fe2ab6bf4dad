// Running means of gradients and of their squares, which Adam and its kin keep of each parameter.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "base/params.h"
#include "model/optimizer.h"

namespace millrace::model {

// How much of a mean stays in each step.
struct Betas {
  double gradient = 0.9;
  double square = 0.999;
};
// Key `betas` ([0.9, 0.999]). Throws Error (exit code 2) unless they are two numbers of [0, 1).
Betas ReadBetas(const Params& section);

struct Moments {
  // Zeros. REQUIRES: groups of one device
  explicit Moments(std::span<const ParameterGroup> groups);

  // "step", "<parameter>.exp_avg" and "<parameter>.exp_avg_sq", as PyTorch calls them.
  std::vector<NamedTensor> StateTensors(std::span<const ParameterGroup> groups) const;

  at::Tensor step;  // updates done: float scalar on the parameters' device, one for all of them
  struct OfGroup {
    std::vector<at::Tensor> means;
    std::vector<at::Tensor> squares;
  };
  std::vector<OfGroup> of_groups;  // in the parameters' memory layout
};

}  // namespace millrace::model
