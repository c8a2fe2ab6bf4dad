// Stochastic gradient descent.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "model/optimizer.h"

namespace millrace::model {

// torch.optim.SGD with dampening 0. State: "<parameter>.momentum_buffer", none without momentum.
class Sgd : public Optimizer {
 public:
  struct Settings {
    double momentum = 0;
    bool nesterov = false;
  };
  // Keys: `momentum` (0), `nesterov` (false). Throws Error (exit code 2) for a wrong value.
  static Settings ReadSettings(const Params& section);

  Sgd(std::span<const NamedTensor> parameters, const OptimizerSettings& common,
      const Settings& settings);

  std::vector<NamedTensor> StateTensors() const override;

 protected:
  // Where a group's weights go before momentum: gradients, in the memory layout of the parameters,
  // and the decay that is still to be added.
  struct Direction {
    std::vector<at::Tensor> gradients;
    double weight_decay = 0;
  };
  virtual Direction DirectionOf(const ParameterGroup& group) const;

  void Update(const std::optional<at::Tensor>& found_inf) override;

 private:
  Settings settings_;
  std::vector<std::vector<at::Tensor>> momentum_buffers_;  // of each group; empty without momentum
};

std::unique_ptr<Optimizer> MakeSgd(const Params& section, std::span<const NamedTensor> parameters,
                                   const OptimizerSettings& common);

}  // namespace millrace::model
