#include "model/sgd.h"

#include <ATen/ATen.h>

namespace millrace::model {

Sgd::Settings Sgd::ReadSettings(const Params& section) {
  Settings settings;
  settings.momentum = section.NumberIn("momentum", 0, 1, 0.0);
  settings.nesterov = section.Flag("nesterov", false);
  if (settings.nesterov && settings.momentum == 0) {
    section.Blame("nesterov", "needs momentum > 0");
  }
  return settings;
}

Sgd::Sgd(std::span<const NamedTensor> parameters, const OptimizerSettings& common,
         const Settings& settings)
    : Optimizer(parameters, common), settings_(settings) {
  for (const ParameterGroup& group : groups()) {
    std::vector<at::Tensor>& buffers = momentum_buffers_.emplace_back();
    if (settings.momentum == 0) continue;
    // Zero buffers give PyTorch's first step exactly: 0 * momentum + gradient.
    for (const at::Tensor& parameter : group.parameters) {
      buffers.push_back(at::zeros_like(parameter));
    }
  }
}

Sgd::Direction Sgd::DirectionOf(const ParameterGroup& group) const {
  return {.gradients = Gradients(group), .weight_decay = group.weight_decay};
}

void Sgd::Update(const std::optional<at::Tensor>& found_inf) {
  for (std::size_t i = 0; i < groups().size(); ++i) {
    const Direction direction = DirectionOf(groups()[i]);
    WithRate([&](const auto& rate) {
      at::_fused_sgd_(groups()[i].parameters, direction.gradients, momentum_buffers_[i],
                      direction.weight_decay, settings_.momentum, rate, /*dampening=*/0,
                      settings_.nesterov, /*maximize=*/false, /*is_first_step=*/false,
                      /*grad_scale=*/{}, found_inf);
    });
  }
}

std::vector<NamedTensor> Sgd::StateTensors() const {
  std::vector<NamedTensor> state;
  for (std::size_t i = 0; i < groups().size(); ++i) {
    for (std::size_t k = 0; k < momentum_buffers_[i].size(); ++k) {
      state.push_back({groups()[i].names[k] + ".momentum_buffer", momentum_buffers_[i][k]});
    }
  }
  return state;
}

std::unique_ptr<Optimizer> MakeSgd(const Params& section, std::span<const NamedTensor> parameters,
                                   const OptimizerSettings& common) {
  return std::make_unique<Sgd>(parameters, common, Sgd::ReadSettings(section));
}

}  // namespace millrace::model
