// Batch normalisation and what follows it by ATen, forward and backward in float64.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include "model/layers.h"

namespace millrace::test {

// What goes in; all of one device. Undefined: none.
struct NormCase {
  at::Tensor x;
  at::Tensor weight;
  at::Tensor bias;
  bool relu = false;
  bool pool = false;    // behind the rectifier
  at::Tensor residual;  // added before the rectifier
  at::Tensor dy;
  at::Tensor dy_too;  // of the second who takes the answer
};

// What comes out.
struct NormAnswer {
  at::Tensor y;
  at::Tensor running_mean;  // from 0
  at::Tensor running_var;   // from 1
  at::Tensor dx;
  at::Tensor weight_gradient;
  at::Tensor bias_gradient;
  at::Tensor residual_gradient;
};

inline NormAnswer NormByAten(const NormCase& with) {
  const auto leaf = [](const at::Tensor& tensor) {
    return tensor.detach().to(at::kDouble).set_requires_grad(true);
  };
  std::vector<at::Tensor> inputs = {leaf(with.x), leaf(with.weight), leaf(with.bias)};
  NormAnswer answer;
  answer.running_mean = at::zeros_like(inputs[1]);
  answer.running_var = at::ones_like(inputs[1]);
  at::Tensor y =
      at::batch_norm(inputs[0], inputs[1], inputs[2], answer.running_mean, answer.running_var,
                     /*training=*/true, model::BatchNorm2d::kMomentum, model::BatchNorm2d::kEpsilon,
                     /*cudnn_enabled=*/false);
  if (with.residual.defined()) {
    inputs.push_back(leaf(with.residual));
    y = y + inputs[3];
  }
  if (with.relu) y = at::relu(y);
  if (with.pool) y = at::max_pool2d(y, /*kernel_size=*/3, /*stride=*/2, /*padding=*/1);
  at::Tensor dy = with.dy.to(at::kDouble);
  if (with.dy_too.defined()) dy = dy + with.dy_too.to(at::kDouble);
  const auto gradients = torch::autograd::grad({y}, inputs, {dy});
  answer.y = y.detach();
  answer.dx = gradients[0];
  answer.weight_gradient = gradients[1];
  answer.bias_gradient = gradients[2];
  if (with.residual.defined()) answer.residual_gradient = gradients[3];
  return answer;
}

// What a normalisation gives with its running statistics.
inline at::Tensor NormInEvaluation(const NormCase& with, const model::BatchNorm2d& norm) {
  const auto wide = [](const at::Tensor& tensor) { return tensor.detach().to(at::kDouble); };
  at::Tensor y = at::batch_norm(wide(with.x), wide(norm.weight), wide(norm.bias),
                                wide(norm.running_mean), wide(norm.running_var),
                                /*training=*/false, model::BatchNorm2d::kMomentum,
                                model::BatchNorm2d::kEpsilon, /*cudnn_enabled=*/false);
  if (with.residual.defined()) y = y + wide(with.residual);
  if (with.relu) y = at::relu(y);
  if (with.pool) y = at::max_pool2d(y, /*kernel_size=*/3, /*stride=*/2, /*padding=*/1);
  return y;
}

// Distance of `found` from `wanted`, as a share of the largest number in `wanted`.
inline double Distance(const at::Tensor& found, const at::Tensor& wanted) {
  const at::Tensor of = wanted.to(at::kDouble);
  const double largest = of.abs().max().item<double>();
  return (found.to(at::kDouble) - of).abs().max().item<double>() / (largest > 0 ? largest : 1);
}

// `type`: of x.
inline void ExpectNear(const NormAnswer& found, const NormAnswer& wanted, at::ScalarType type) {
  // bfloat16 rounds by up to 2^-9 of a number, float16 by 2^-12.
  const double rounding = type == at::kFloat ? 2e-5 : type == at::kHalf ? 0x1p-11 : 0x1p-8;
  EXPECT_LT(Distance(found.y, wanted.y), rounding);
  EXPECT_LT(Distance(found.running_mean, wanted.running_mean), 2e-6);
  EXPECT_LT(Distance(found.running_var, wanted.running_var), 2e-6);
  // Behind a residual it is rounded twice.
  EXPECT_LT(Distance(found.dx, wanted.dx), 2 * rounding);
  EXPECT_LT(Distance(found.weight_gradient, wanted.weight_gradient), rounding);
  EXPECT_LT(Distance(found.bias_gradient, wanted.bias_gradient), rounding);
  ASSERT_EQ(found.residual_gradient.defined(), wanted.residual_gradient.defined());
  if (wanted.residual_gradient.defined()) {
    EXPECT_LT(Distance(found.residual_gradient, wanted.residual_gradient), rounding);
  }
}

}  // namespace millrace::test
