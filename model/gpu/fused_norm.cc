#include "model/fused_norm.h"

#include <ATen/ATen.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "base/check.h"
#include "model/gpu/norm_kernels.h"

namespace millrace::model {
namespace {

using gpu::After;
using gpu::Grid;
using gpu::NormKernels;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kOrder = c10::MemoryFormat::ChannelsLast;

Grid GridOf(const NormKernels& kernels, const at::Tensor& x) {
  return kernels.GridOf(static_cast<gpu::u64>(x.size(0) * x.size(2) * x.size(3)),
                        static_cast<gpu::u32>(x.size(1)));
}

// Float32 on the device, with nothing in it.
at::Tensor Scratch(const at::Tensor& beside, std::int64_t numbers) {
  return at::empty({numbers}, beside.options().dtype(at::kFloat));
}

at::Tensor Coefficients(const BatchNorm2d& norm, const at::Tensor& x, const NormKernels& kernels,
                        cudaStream_t stream) {
  const Grid grid = GridOf(kernels, x);
  const at::Tensor partials = Scratch(x, std::int64_t{grid.parts} * gpu::kPartials * grid.channels);
  const at::Tensor counts = Scratch(x, grid.parts);
  at::Tensor coefficients = Scratch(x, std::int64_t{gpu::kCoefficients} * grid.channels);
  kernels.Statistics({.grid = grid,
                      .x = x.const_data_ptr(),
                      .partials = partials.mutable_data_ptr<float>(),
                      .counts = counts.mutable_data_ptr<float>()},
                     stream);
  kernels.Finish(gpu::FinishWork{.grid = grid,
                                 .partials = partials.const_data_ptr<float>(),
                                 .counts = counts.const_data_ptr<float>(),
                                 .weight = norm.weight.const_data_ptr<float>(),
                                 .bias = norm.bias.const_data_ptr<float>(),
                                 .running_mean = norm.running_mean.mutable_data_ptr<float>(),
                                 .running_var = norm.running_var.mutable_data_ptr<float>(),
                                 .batches = static_cast<gpu::i64*>(
                                     norm.num_batches_tracked.mutable_data_ptr()),
                                 .momentum = static_cast<float>(BatchNorm2d::kMomentum),
                                 .epsilon = static_cast<float>(BatchNorm2d::kEpsilon),
                                 .coefficients = coefficients.mutable_data_ptr<float>()},
                 stream);
  return coefficients;
}

struct NormFunction : torch::autograd::Function<NormFunction> {
  // Weight and bias are those of `norm`, named for autograd's sake.
  static variable_list forward(AutogradContext* context, const BatchNorm2d* norm, After after,
                               const at::Tensor& x, const at::Tensor& /*weight*/,
                               const at::Tensor& /*bias*/,
                               const std::optional<at::Tensor>& residual) {
    const NormKernels& kernels = NormKernels::Of(x.device(), x.scalar_type());
    const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    const at::Tensor coefficients = Coefficients(*norm, x, kernels, stream);
    at::Tensor y = at::empty_like(x);
    at::Tensor added;
    at::Tensor mask;
    if (after == After::kAddAndRelu) {
      added = residual->contiguous(kOrder);
      mask = at::empty({x.numel() / gpu::kVector}, x.options().dtype(at::kByte));
    }
    kernels.Apply(after,
                  {.grid = GridOf(kernels, x),
                   .x = x.const_data_ptr(),
                   .coefficients = coefficients.const_data_ptr<float>(),
                   .residual = added.defined() ? added.const_data_ptr() : nullptr,
                   .y = y.mutable_data_ptr(),
                   .mask = mask.defined() ? mask.mutable_data_ptr<gpu::u8>() : nullptr},
                  stream);
    context->save_for_backward({x, coefficients, mask});
    context->saved_data["after"] = static_cast<std::int64_t>(after);
    context->set_materialize_grads(false);
    if (after != After::kAddAndRelu) return {y};
    // Who computes on and who takes the shortcut each have a gradient of their own, which are added
    // where they are read.
    return {y, y.variable_data()};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& coefficients = saved[1];
    const at::Tensor& mask = saved[2];
    const auto after = static_cast<After>(context->saved_data["after"].toInt());
    at::Tensor dy = gradients[0];
    at::Tensor dy_too = gradients.size() > 1 ? gradients[1] : at::Tensor();
    if (!dy.defined()) std::swap(dy, dy_too);
    if (!dy.defined()) return variable_list(kArguments);
    dy = dy.contiguous(kOrder);
    if (dy_too.defined()) dy_too = dy_too.contiguous(kOrder);

    const NormKernels& kernels = NormKernels::Of(x.device(), x.scalar_type());
    const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    const Grid grid = GridOf(kernels, x);
    const at::Tensor partials =
        Scratch(x, std::int64_t{grid.parts} * gpu::kPartials * grid.channels);
    const at::Tensor gradient_coefficients =
        Scratch(x, std::int64_t{gpu::kGradientCoefficients} * grid.channels);
    const at::Tensor weight_gradient = Scratch(x, grid.channels);
    const at::Tensor bias_gradient = Scratch(x, grid.channels);
    const at::Tensor g = mask.defined() ? at::empty_like(x) : dy;
    at::Tensor dx = at::empty_like(x);
    kernels.Reduce(after,
                   {.grid = grid,
                    .x = x.const_data_ptr(),
                    .coefficients = coefficients.const_data_ptr<float>(),
                    .dy = dy.const_data_ptr(),
                    .dy_too = dy_too.defined() ? dy_too.const_data_ptr() : nullptr,
                    .mask = mask.defined() ? mask.const_data_ptr<gpu::u8>() : nullptr,
                    .g = mask.defined() ? g.mutable_data_ptr() : nullptr,
                    .partials = partials.mutable_data_ptr<float>()},
                   stream);
    kernels.Finish(
        gpu::FinishGradientWork{
            .grid = grid,
            .partials = partials.const_data_ptr<float>(),
            .coefficients = coefficients.const_data_ptr<float>(),
            .weight_gradient = weight_gradient.mutable_data_ptr<float>(),
            .bias_gradient = bias_gradient.mutable_data_ptr<float>(),
            .gradient_coefficients = gradient_coefficients.mutable_data_ptr<float>()},
        stream);
    kernels.Gradient(after,
                     {.grid = grid,
                      .x = x.const_data_ptr(),
                      .g = g.const_data_ptr(),
                      .coefficients = coefficients.const_data_ptr<float>(),
                      .gradient_coefficients = gradient_coefficients.const_data_ptr<float>(),
                      .dx = dx.mutable_data_ptr()},
                     stream);
    return {{}, {}, dx, weight_gradient, bias_gradient, mask.defined() ? g : at::Tensor()};
  }

 private:
  static constexpr std::size_t kArguments = 6;  // of forward() behind the context
};

variable_list Run(const BatchNorm2d& norm, After after, const at::Tensor& x,
                  const std::optional<at::Tensor>& residual) {
  MILLRACE_CHECK(TakesFusedNorm(x));
  return NormFunction::apply(&norm, after, x, norm.weight, norm.bias, residual);
}

}  // namespace

bool TakesFusedNorm(const at::Tensor& x) {
  return x.is_cuda() && x.dim() == 4 && gpu::HasNormKernels(x.scalar_type()) &&
         x.size(1) % gpu::kVector == 0 && x.numel() > x.size(1) && x.is_contiguous(kOrder);
}

at::Tensor FusedNorm(const BatchNorm2d& norm, const at::Tensor& x) {
  return Run(norm, After::kNothing, x, {})[0];
}

at::Tensor FusedNormRelu(const BatchNorm2d& norm, const at::Tensor& x) {
  return Run(norm, After::kRelu, x, {})[0];
}

Fork FusedNormAddRelu(const BatchNorm2d& norm, const at::Tensor& x, const at::Tensor& residual) {
  MILLRACE_CHECK(residual.sizes() == x.sizes() && residual.scalar_type() == x.scalar_type());
  const variable_list outputs = Run(norm, After::kAddAndRelu, x, residual);
  return {.on = outputs[0], .shortcut = outputs[1]};
}

}  // namespace millrace::model
