#include "model/layers.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "model/fused_norm.h"
#include "model/sync_norm.h"
#include "model/tap_convolution.h"

namespace millrace::model {
namespace {

// The bound of torch.nn.init.kaiming_uniform_(a=sqrt(5)), which PyTorch's layers start from. The
// steps are PyTorch's, rounding included.
double DefaultBound(double fan_in) {
  const double slope = std::sqrt(5.0);
  const double gain = std::sqrt(2.0 / (1 + slope * slope));
  return std::sqrt(3.0) * (gain / std::sqrt(fan_in));
}

bool SpansRanks(const BatchNorm2d& norm, bool training) {
  return training && norm.ranks != nullptr;
}

bool Fuses(const BatchNorm2d& norm, const at::Tensor& x, bool training) {
  return !SpansRanks(norm, training) && TakesFusedNorm(x, training);
}

}  // namespace

Conv2d::Conv2d(const Shape& conv_shape, at::Generator& generator)
    : shape(conv_shape),
      weight(
          at::empty({shape.out, shape.in / shape.groups, shape.kernel, shape.kernel}, at::kFloat)) {
  const double fan_in = static_cast<double>(shape.in / shape.groups * shape.kernel * shape.kernel);
  const double bound = DefaultBound(fan_in);
  weight.uniform_(-bound, bound, generator);
}

void Conv2d::DrawKaimingNormal(at::Generator& generator) {
  const double fan_out = static_cast<double>(shape.out * shape.kernel * shape.kernel);
  weight.normal_(0, std::sqrt(2.0) / std::sqrt(fan_out), generator);
}

void Conv2d::BlurFirst() {
  const at::Tensor line = at::tensor({0.25F, 0.5F, 0.25F});
  blur = at::outer(line, line).expand({shape.in, 1, 3, 3}).clone();
}

void Conv2d::Finish(c10::MemoryFormat format) {
  weight = weight.contiguous(format).set_requires_grad(true);
  if (blur.defined()) blur = blur.contiguous(format);
}

at::Tensor Conv2d::Forward(const at::Tensor& x) const {
  const std::int64_t padding = shape.kernel / 2;
  const at::Tensor in =
      blur.defined() ? at::conv2d(x, blur, /*bias=*/{}, /*stride=*/1, /*padding=*/1, /*dilation=*/1,
                                  /*groups=*/shape.in)
                     : x;
  if (shape.groups == 1 && GainsByTaps(in, weight, shape.stride)) {
    return ConvolveWithTaps(in, weight, shape.stride);
  }
  return at::conv2d(in, weight, /*bias=*/{}, {shape.stride, shape.stride}, {padding, padding},
                    /*dilation=*/{1, 1}, shape.groups);
}

BatchNorm2d::BatchNorm2d(std::int64_t channels)
    : weight(at::ones({channels}, at::kFloat)),
      bias(at::zeros({channels}, at::kFloat)),
      running_mean(at::zeros({channels}, at::kFloat)),
      running_var(at::ones({channels}, at::kFloat)),
      num_batches_tracked(at::zeros({}, at::kLong)) {}

void BatchNorm2d::Finish() {
  weight.set_requires_grad(true);
  bias.set_requires_grad(true);
}

at::Tensor BatchNorm2d::Forward(const at::Tensor& x, bool training) const {
  if (SpansRanks(*this, training)) return SyncNorm(*this, x, *ranks);
  if (Fuses(*this, x, training)) return FusedNorm(*this, x, training);
  if (training) num_batches_tracked.add_(1);
  return at::batch_norm(x, weight, bias, running_mean, running_var, training, kMomentum, kEpsilon,
                        /*cudnn_enabled=*/true);
}

at::Tensor BatchNorm2d::ForwardRelu(const at::Tensor& x, bool training) const {
  if (Fuses(*this, x, training)) return FusedNormRelu(*this, x, training);
  return Forward(x, training).relu_();
}

Fork BatchNorm2d::ForwardReluPool(const at::Tensor& x, bool training) const {
  if (Fuses(*this, x, training)) return FusedNormReluPool(*this, x, training);
  const at::Tensor out = at::max_pool2d(Forward(x, training).relu_(), /*kernel_size=*/3,
                                        /*stride=*/2, /*padding=*/1);
  return {.on = out, .shortcut = out};
}

Fork BatchNorm2d::ForwardAddRelu(const at::Tensor& x, const at::Tensor& shortcut,
                                 bool training) const {
  if (Fuses(*this, x, training)) return FusedNormAddRelu(*this, x, shortcut, training);
  at::Tensor out = Forward(x, training);
  out += shortcut;
  out.relu_();
  return {.on = out, .shortcut = out};
}

Linear::Linear(std::int64_t in, std::int64_t out, at::Generator& generator)
    : weight(at::empty({out, in}, at::kFloat)), bias(at::empty({out}, at::kFloat)) {
  const double bound = DefaultBound(static_cast<double>(in));
  weight.uniform_(-bound, bound, generator);
  const double bias_bound = 1 / std::sqrt(static_cast<double>(in));
  bias.uniform_(-bias_bound, bias_bound, generator);
}

void Linear::Finish() {
  weight.set_requires_grad(true);
  bias.set_requires_grad(true);
}

at::Tensor Linear::Forward(const at::Tensor& x) const { return at::linear(x, weight, bias); }

}  // namespace millrace::model
