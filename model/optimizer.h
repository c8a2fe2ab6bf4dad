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

  // The rate of the updates to come. On a GPU it lies in a scalar there, which a recorded update
  // (CUDA graph) reads each time it is replayed.
  void SetLearningRate(double lr);

  // One update from the gradients that have gathered. Where `found_inf` (float, one element, on the
  // parameters' device) is not 0 it changes nothing, which the device finds out by itself.
  virtual void Step(const at::Tensor& found_inf = {}) = 0;

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
  // REQUIRES: parameters of one device
  Optimizer(std::span<const NamedTensor> parameters, double learning_rate);

  // The rate of the update at hand: the number, and on a GPU the scalar there (undefined on a CPU).
  double rate() const { return rate_; }
  const at::Tensor& device_rate() const { return device_rate_; }

 private:
  std::vector<NamedTensor> parameters_;
  double learning_rate_;
  double rate_;
  at::Tensor device_rate_;
};

// The optimizer that the [optimizer] section asks for. Keys: `name` ("sgd"), `lr`, `momentum`
// (default 0), `nesterov` (false), `weight_decay` (0), `decay_norm_and_bias` (true, as PyTorch;
// false leaves normalisation weights and all biases without decay, arXiv:1812.01187). Throws Error
// (exit code 2) for a wrong value and for a setting without effect.
std::unique_ptr<Optimizer> MakeOptimizer(const Params& section,
                                         std::span<const NamedTensor> parameters);

}  // namespace millrace::model
