// How weights follow their gradients.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/params.h"
#include "model/named_tensor.h"

namespace millrace::model {

// Holds handles to the parameters it was made for and changes them in place. Gradients live from
// construction to the end in the parameters' grad(), zeroed in place, never replaced: they may be
// views into communication buckets. One thread at a time.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // One update from the gradients that have gathered, at learning rate `lr`.
  virtual void Step(double lr) = 0;

  // Sets all gradients to zero, in place.
  void ZeroGradients();

  // What a checkpoint must hold beside the weights: "<parameter>.momentum_buffer", ... The tensors
  // are the optimizer's own.
  virtual std::vector<NamedTensor> StateTensors() const = 0;

  // Puts back a saved state. Throws Error naming what is missing, unexpected or of another shape,
  // and leaves the state as it was.
  void LoadState(std::span<const NamedTensor> saved);

  // `lr` of the recipe: what schedules scale.
  double learning_rate() const { return learning_rate_; }
  const std::vector<NamedTensor>& parameters() const { return parameters_; }

 protected:
  // Gives every parameter that lacks one a zero gradient of its own memory layout.
  Optimizer(std::span<const NamedTensor> parameters, double learning_rate);

 private:
  std::vector<NamedTensor> parameters_;
  double learning_rate_;
};

// The optimizer that the [optimizer] section asks for. Keys: `name` ("sgd"), `lr`, `momentum`
// (default 0), `nesterov` (false), `weight_decay` (0), `decay_norm_and_bias` (true, as PyTorch;
// false leaves normalisation weights and all biases without decay, arXiv:1812.01187). Throws Error
// (exit code 2) for a wrong value and for a setting without effect.
std::unique_ptr<Optimizer> MakeOptimizer(const Params& section,
                                         std::span<const NamedTensor> parameters);

}  // namespace millrace::model
