// How weights follow their gradients.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/params.h"
#include "model/components.h"
#include "model/named_tensor.h"

namespace millrace::model {

// What all optimizers have in common.
struct OptimizerSettings {
  double learning_rate = 0;
  double weight_decay = 0;
  bool decay_norm_and_bias = true;
  double clip_norm = 0;  // of all gradients together; 0: as they are
};

// Keys: `lr`, `weight_decay`, `decay_norm_and_bias` (true, as PyTorch; false leaves normalisation
// weights and all biases without decay, arXiv:1812.01187), `clip_norm` (0: none; otherwise
// clip_norm.h). Throws Error (exit code 2) for a wrong value and for a setting without effect.
OptimizerSettings ReadOptimizerSettings(const Params& section, double default_weight_decay);

// Parameters of one weight decay.
struct ParameterGroup {
  double weight_decay = 0;
  std::vector<std::string> names;
  std::vector<at::Tensor> parameters;
};

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

  // One update from the gradients that have gathered, clipped in place where the settings say so.
  // Where `found_inf` (float, one element, on the parameters' device) is not 0 it changes neither
  // weights nor state, which the device finds out by itself.
  void Step(const at::Tensor& found_inf = {});

  // Sets all gradients to zero, in place.
  void ZeroGradients();

  // What a checkpoint must hold beside the weights: "<parameter>.momentum_buffer", ... Whatever
  // an update changes, counts of steps too, is in them, on the parameters' device. The tensors are
  // the optimizer's own.
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
  Optimizer(std::span<const NamedTensor> parameters, const OptimizerSettings& settings);

  // Step() after the clipping, with autograd off. `found_inf`: none, or as Step() has it.
  virtual void Update(const std::optional<at::Tensor>& found_inf) = 0;

  // None is empty.
  const std::vector<ParameterGroup>& groups() const { return groups_; }
  // In the memory layout of the group's parameters, which ATen's fused kernels count on.
  static std::vector<at::Tensor> Gradients(const ParameterGroup& group);

  // Calls `use` with the rate of the update at hand: a number, and on a GPU the scalar there.
  template <typename Use>
  void WithRate(const Use& use) const {
    if (device_rate_.defined()) {
      use(device_rate_);
    } else {
      use(rate_);
    }
  }

 private:
  std::vector<NamedTensor> parameters_;
  std::vector<ParameterGroup> groups_;
  double learning_rate_;
  double clip_norm_;
  double rate_;
  at::Tensor device_rate_;  // undefined on a CPU
};

// The optimizer that the [optimizer] section asks for. Keys: `name` ("sgd", "adamw", "lars",
// "lamb"), those of ReadOptimizerSettings() and those that sgd.h, adamw.h, lars.h and lamb.h list.
// Throws Error (exit code 2) for a wrong value and for a setting without effect.
std::unique_ptr<Optimizer> MakeOptimizer(const Params& section,
                                         std::span<const NamedTensor> parameters,
                                         const Components& known = BuiltInComponents());

Table<OptimizerMaker> BuiltInOptimizers();

}  // namespace millrace::model
