// Keeps float16 gradients within float16's range: scales the loss up, the gradients down again, and
// leaves out updates whose gradients overflowed.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/named_tensor.h"

namespace millrace::model {

// PyTorch's GradScaler (arXiv:1710.03740, section 3.2), on the operators that it uses itself.
// Scale, growth count and the finding of an overflow stay on the device: nothing waits for it. One
// thread at a time.
//
// In each step: backward() from Scale(loss); Unscale(gradients); the optimizer's update with
// found_inf(); Update().
class LossScaler {
 public:
  // PyTorch's defaults.
  struct Settings {
    double initial_scale = 65536;
    double growth_factor = 2;
    double backoff_factor = 0.5;
    std::int64_t growth_interval = 2000;  // [steps] without an overflow
  };
  explicit LossScaler(c10::Device device);
  LossScaler(c10::Device device, const Settings& settings);

  // `loss` times the scale.
  at::Tensor Scale(const at::Tensor& loss) const;
  // Divides the gradients by the scale and finds out whether one of them is not finite.
  void Unscale(std::span<const at::Tensor> gradients);
  // 1 where that was so, else 0: float, one element, on the device.
  const at::Tensor& found_inf() const { return found_inf_; }
  // Halves the scale after an overflow, doubles it after enough steps without one.
  void Update();

  // What a checkpoint must hold: "scale" and "growth_tracker". The tensors are the scaler's own.
  std::vector<NamedTensor> StateTensors() const;
  // Puts back a saved state. Throws Error naming what is missing or unexpected.
  void LoadState(std::span<const NamedTensor> saved);

 private:
  Settings settings_;
  at::Tensor scale_;           // float
  at::Tensor growth_tracker_;  // int32 [steps] without an overflow
  at::Tensor found_inf_;
};

}  // namespace millrace::model
