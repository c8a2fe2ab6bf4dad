#include "model/fused_norm.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <limits>
#include <optional>
#include <utility>

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

at::Tensor RunningCoefficients(const BatchNorm2d& norm, const at::Tensor& x,
                               const NormKernels& kernels, cudaStream_t stream) {
  const auto channels = static_cast<gpu::u32>(x.size(1));
  at::Tensor coefficients = Scratch(x, std::int64_t{gpu::kCoefficients} * channels);
  kernels.Running({.channels = channels,
                   .weight = norm.weight.const_data_ptr<float>(),
                   .bias = norm.bias.const_data_ptr<float>(),
                   .running_mean = norm.running_mean.const_data_ptr<float>(),
                   .running_var = norm.running_var.const_data_ptr<float>(),
                   .epsilon = static_cast<float>(BatchNorm2d::kEpsilon),
                   .coefficients = coefficients.mutable_data_ptr<float>()},
                  stream);
  return coefficients;
}

// y. Undefined: no residual, and a mask that nobody wants.
at::Tensor Apply(After after, const at::Tensor& x, const at::Tensor& coefficients,
                 const at::Tensor& residual, const at::Tensor& mask, const NormKernels& kernels,
                 cudaStream_t stream) {
  at::Tensor y = at::empty_like(x);
  const at::Tensor added = residual.defined() ? residual.contiguous(kOrder) : residual;
  kernels.Apply(after,
                {.grid = GridOf(kernels, x),
                 .x = x.const_data_ptr(),
                 .coefficients = coefficients.const_data_ptr<float>(),
                 .residual = added.defined() ? added.const_data_ptr() : nullptr,
                 .y = y.mutable_data_ptr(),
                 .mask = mask.defined() ? mask.mutable_data_ptr<gpu::u8>() : nullptr},
                stream);
  return y;
}

std::int64_t Pooled(std::int64_t pixels) { return (pixels + 1) / 2; }

std::array<std::int64_t, 4> PooledSizes(const at::Tensor& x) {
  return {x.size(0), x.size(1), Pooled(x.size(2)), Pooled(x.size(3))};
}

gpu::PoolShape PoolShapeOf(const at::Tensor& x) {
  return {.height = static_cast<gpu::u32>(x.size(2)),
          .width = static_cast<gpu::u32>(x.size(3)),
          .pooled_height = static_cast<gpu::u32>(Pooled(x.size(2))),
          .pooled_width = static_cast<gpu::u32>(Pooled(x.size(3)))};
}

// y, pooled. Undefined: choices that nobody wants.
at::Tensor ApplyPool(const at::Tensor& x, const at::Tensor& coefficients, const at::Tensor& choices,
                     const NormKernels& kernels, cudaStream_t stream) {
  at::Tensor y = at::empty(PooledSizes(x), x.options(), kOrder);
  kernels.ApplyPool({.grid = GridOf(kernels, y),
                     .shape = PoolShapeOf(x),
                     .x = x.const_data_ptr(),
                     .coefficients = coefficients.const_data_ptr<float>(),
                     .y = y.mutable_data_ptr(),
                     .choices = choices.defined() ? choices.mutable_data_ptr() : nullptr},
                    stream);
  return y;
}

// What becomes of the sums of a gradient.
struct WeightGradients {
  at::Tensor weight;
  at::Tensor bias;
  at::Tensor coefficients;  // of the gradient of x
};

WeightGradients FinishGradient(const NormKernels& kernels, const Grid& grid, const at::Tensor& x,
                               const at::Tensor& partials, const at::Tensor& coefficients,
                               cudaStream_t stream) {
  WeightGradients gradients{
      .weight = Scratch(x, grid.channels),
      .bias = Scratch(x, grid.channels),
      .coefficients = Scratch(x, std::int64_t{gpu::kGradientCoefficients} * grid.channels)};
  kernels.Finish(
      gpu::FinishGradientWork{
          .grid = grid,
          .rows = GridOf(kernels, x).rows,
          .partials = partials.const_data_ptr<float>(),
          .coefficients = coefficients.const_data_ptr<float>(),
          .weight_gradient = gradients.weight.mutable_data_ptr<float>(),
          .bias_gradient = gradients.bias.mutable_data_ptr<float>(),
          .gradient_coefficients = gradients.coefficients.mutable_data_ptr<float>()},
      stream);
  return gradients;
}

// The gradients of the two who take what comes out, in the order of the kernels. The second, or
// both, may be undefined.
struct TwoGradients {
  explicit TwoGradients(const variable_list& gradients)
      : one(gradients[0]), two(gradients.size() > 1 ? gradients[1] : at::Tensor()) {
    if (!one.defined()) std::swap(one, two);
    if (one.defined()) one = one.contiguous(kOrder);
    if (two.defined()) two = two.contiguous(kOrder);
  }
  const void* second() const { return two.defined() ? two.const_data_ptr() : nullptr; }

  at::Tensor one;
  at::Tensor two;
};

struct NormFunction : torch::autograd::Function<NormFunction> {
  // Weight and bias are those of `norm`, named for autograd's sake.
  static variable_list forward(AutogradContext* context, const BatchNorm2d* norm, After after,
                               const at::Tensor& x, const at::Tensor& /*weight*/,
                               const at::Tensor& /*bias*/,
                               const std::optional<at::Tensor>& residual) {
    const NormKernels& kernels = NormKernels::Of(x.device(), x.scalar_type());
    const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    const at::Tensor coefficients = Coefficients(*norm, x, kernels, stream);
    at::Tensor mask;
    if (after == After::kAddAndRelu) {
      mask = at::empty({x.numel() / gpu::kVector}, x.options().dtype(at::kByte));
    }
    const at::Tensor y =
        Apply(after, x, coefficients, residual.value_or(at::Tensor()), mask, kernels, stream);
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
    const TwoGradients dy(gradients);
    if (!dy.one.defined()) return variable_list(kArguments);

    const NormKernels& kernels = NormKernels::Of(x.device(), x.scalar_type());
    const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    const Grid grid = GridOf(kernels, x);
    const at::Tensor partials =
        Scratch(x, std::int64_t{grid.parts} * gpu::kPartials * grid.channels);
    const at::Tensor g = mask.defined() ? at::empty_like(x) : dy.one;
    at::Tensor dx = at::empty_like(x);
    kernels.Reduce(after,
                   {.grid = grid,
                    .x = x.const_data_ptr(),
                    .coefficients = coefficients.const_data_ptr<float>(),
                    .dy = dy.one.const_data_ptr(),
                    .dy_too = dy.second(),
                    .mask = mask.defined() ? mask.const_data_ptr<gpu::u8>() : nullptr,
                    .g = mask.defined() ? g.mutable_data_ptr() : nullptr,
                    .partials = partials.mutable_data_ptr<float>()},
                   stream);
    const WeightGradients of_weights =
        FinishGradient(kernels, grid, x, partials, coefficients, stream);
    kernels.Gradient(after,
                     {.grid = grid,
                      .x = x.const_data_ptr(),
                      .g = g.const_data_ptr(),
                      .coefficients = coefficients.const_data_ptr<float>(),
                      .gradient_coefficients = of_weights.coefficients.const_data_ptr<float>(),
                      .dx = dx.mutable_data_ptr()},
                     stream);
    return {{}, {}, dx, of_weights.weight, of_weights.bias, mask.defined() ? g : at::Tensor()};
  }

 private:
  static constexpr std::size_t kArguments = 6;  // of forward() behind the context
};

struct NormPoolFunction : torch::autograd::Function<NormPoolFunction> {
  static variable_list forward(AutogradContext* context, const BatchNorm2d* norm,
                               const at::Tensor& x, const at::Tensor& /*weight*/,
                               const at::Tensor& /*bias*/) {
    const NormKernels& kernels = NormKernels::Of(x.device(), x.scalar_type());
    const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    const at::Tensor coefficients = Coefficients(*norm, x, kernels, stream);
    const auto sizes = PooledSizes(x);
    const at::Tensor choices = at::empty(sizes, x.options().dtype(at::kByte));
    const at::Tensor y = ApplyPool(x, coefficients, choices, kernels, stream);
    context->save_for_backward({x, coefficients, choices});
    context->set_materialize_grads(false);
    return {y, y.variable_data()};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& coefficients = saved[1];
    const TwoGradients dy(gradients);
    if (!dy.one.defined()) return variable_list(kArguments);

    const NormKernels& kernels = NormKernels::Of(x.device(), x.scalar_type());
    const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    const Grid grid = GridOf(kernels, dy.one);
    const at::Tensor partials =
        Scratch(x, std::int64_t{grid.parts} * gpu::kPartials * grid.channels);
    at::Tensor dx = at::empty_like(x);
    gpu::PoolGradientWork work{.grid = grid,
                               .shape = PoolShapeOf(x),
                               .x = x.const_data_ptr(),
                               .coefficients = coefficients.const_data_ptr<float>(),
                               .dy = dy.one.const_data_ptr(),
                               .dy_too = dy.second(),
                               .choices = saved[2].const_data_ptr(),
                               .partials = partials.mutable_data_ptr<float>(),
                               .gradient_coefficients = nullptr,
                               .dx = dx.mutable_data_ptr()};
    kernels.ReducePool(work, stream);
    const WeightGradients of_weights =
        FinishGradient(kernels, grid, x, partials, coefficients, stream);
    work.gradient_coefficients = of_weights.coefficients.const_data_ptr<float>();
    kernels.GradientPool(work, stream);
    return {{}, dx, of_weights.weight, of_weights.bias};
  }

 private:
  static constexpr std::size_t kArguments = 4;
};

at::Tensor Evaluate(const BatchNorm2d& norm, After after, const at::Tensor& x,
                    const at::Tensor& residual = {}) {
  const NormKernels& kernels = NormKernels::Of(x.device(), x.scalar_type());
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
  return Apply(after, x, RunningCoefficients(norm, x, kernels, stream), residual, /*mask=*/{},
               kernels, stream);
}

variable_list Train(const BatchNorm2d& norm, After after, const at::Tensor& x,
                    const std::optional<at::Tensor>& residual = {}) {
  return NormFunction::apply(&norm, after, x, norm.weight, norm.bias, residual);
}

}  // namespace

bool TakesFusedNorm(const at::Tensor& x, bool training) {
  return x.is_cuda() && x.dim() == 4 && gpu::HasNormKernels(x.scalar_type()) &&
         x.size(1) % gpu::kVector == 0 && x.numel() > x.size(1) && x.is_contiguous(kOrder) &&
         x.numel() / x.size(1) <= std::numeric_limits<gpu::u32>::max() &&
         (training || !c10::GradMode::is_enabled());
}

at::Tensor FusedNorm(const BatchNorm2d& norm, const at::Tensor& x, bool training) {
  MILLRACE_CHECK(TakesFusedNorm(x, training));
  if (!training) return Evaluate(norm, After::kNothing, x);
  return Train(norm, After::kNothing, x)[0];
}

at::Tensor FusedNormRelu(const BatchNorm2d& norm, const at::Tensor& x, bool training) {
  MILLRACE_CHECK(TakesFusedNorm(x, training));
  if (!training) return Evaluate(norm, After::kRelu, x);
  return Train(norm, After::kRelu, x)[0];
}

Fork FusedNormReluPool(const BatchNorm2d& norm, const at::Tensor& x, bool training) {
  MILLRACE_CHECK(TakesFusedNorm(x, training));
  if (!training) {
    const NormKernels& kernels = NormKernels::Of(x.device(), x.scalar_type());
    const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    const at::Tensor y = ApplyPool(x, RunningCoefficients(norm, x, kernels, stream),
                                   /*choices=*/{}, kernels, stream);
    return {.on = y, .shortcut = y};
  }
  const variable_list outputs = NormPoolFunction::apply(&norm, x, norm.weight, norm.bias);
  return {.on = outputs[0], .shortcut = outputs[1]};
}

Fork FusedNormAddRelu(const BatchNorm2d& norm, const at::Tensor& x, const at::Tensor& residual,
                      bool training) {
  MILLRACE_CHECK(TakesFusedNorm(x, training) && residual.sizes() == x.sizes() &&
                 residual.scalar_type() == x.scalar_type());
  if (!training) {
    const at::Tensor y = Evaluate(norm, After::kAddAndRelu, x, residual);
    return {.on = y, .shortcut = y};
  }
  const variable_list outputs = Train(norm, After::kAddAndRelu, x, residual);
  return {.on = outputs[0], .shortcut = outputs[1]};
}

}  // namespace millrace::model
