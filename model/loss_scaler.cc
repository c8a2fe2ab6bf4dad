#include "model/loss_scaler.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "base/error.h"

namespace millrace::model {

LossScaler::LossScaler(c10::Device device) : LossScaler(device, Settings{}) {}

LossScaler::LossScaler(c10::Device device, const Settings& settings)
    : settings_(settings),
      scale_(at::full({}, settings.initial_scale, at::TensorOptions(device).dtype(at::kFloat))),
      growth_tracker_(at::zeros({}, at::TensorOptions(device).dtype(at::kInt))),
      found_inf_(at::zeros({}, at::TensorOptions(device).dtype(at::kFloat))) {}

at::Tensor LossScaler::Scale(const at::Tensor& loss) const { return loss * scale_; }

void LossScaler::Unscale(std::span<const at::Tensor> gradients) {
  const c10::NoGradGuard no_grad;
  found_inf_.zero_();
  // The reciprocal in double, as GradScaler takes it.
  const at::Tensor inverse = scale_.to(at::kDouble).reciprocal().to(at::kFloat);
  at::_amp_foreach_non_finite_check_and_unscale_({gradients.data(), gradients.size()}, found_inf_,
                                                 inverse);
}

void LossScaler::Update() {
  const c10::NoGradGuard no_grad;
  at::_amp_update_scale_(scale_, growth_tracker_, found_inf_, settings_.growth_factor,
                         settings_.backoff_factor, settings_.growth_interval);
}

std::vector<NamedTensor> LossScaler::StateTensors() const {
  return {{"scale", scale_}, {"growth_tracker", growth_tracker_}};
}

void LossScaler::LoadState(std::span<const NamedTensor> saved) {
  const std::vector<NamedTensor> state = StateTensors();
  const StateMismatch mismatch = CompareStates(state, saved);
  if (!mismatch.empty()) Fail("the loss scaler's state does not fit: {}", mismatch.Text());
  CopyState(state, saved);
}

}  // namespace millrace::model
