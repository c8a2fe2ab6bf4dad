#include "model/tap_convolution.h"

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace millrace::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What both matrices of a tap are copied for: its product costs in * out, the copies in + out.
constexpr std::int64_t kLeastIn = 128;
constexpr std::int64_t kLeastOut = 256;
// So small that the border is half of the taps' places: fewer channels do.
constexpr std::int64_t kSmallImage = 4 * 4;
constexpr std::int64_t kLeastOutOfSmall = 128;

std::int64_t OutSide(std::int64_t in_side, std::int64_t stride) {
  return (in_side - 1) / stride + 1;
}

// Along one side: the outputs at which a tap lies within the image, and where it begins there.
struct Reach {
  std::int64_t first;
  std::int64_t count;
  std::int64_t in_first;
};

Reach ReachOf(std::int64_t tap, std::int64_t padding, std::int64_t stride, std::int64_t in_side,
              std::int64_t out_side) {
  const std::int64_t offset = tap - padding;
  const std::int64_t first = offset < 0 ? (-offset + stride - 1) / stride : 0;
  const std::int64_t last = offset < in_side ? (in_side - 1 - offset) / stride : -1;
  return {.first = first,
          .count = std::max<std::int64_t>(0, std::min(last + 1, out_side) - first),
          .in_first = first * stride + offset};
}

// [places, channels]: of the images [N, H, W, channels], these rows and columns.
at::Tensor Places(const at::Tensor& images, const Reach& rows, std::int64_t first_row,
                  const Reach& columns, std::int64_t first_column, std::int64_t stride) {
  return images.slice(1, first_row, first_row + (rows.count - 1) * stride + 1, stride)
      .slice(2, first_column, first_column + (columns.count - 1) * stride + 1, stride)
      .reshape({-1, images.size(3)});
}

// [out, in, kernel, kernel], channels last.
at::Tensor WeightGradient(const at::Tensor& x, const at::Tensor& dy, std::int64_t kernel,
                          std::int64_t stride) {
  const at::Tensor images = x.permute({0, 2, 3, 1});
  const at::Tensor gradients = dy.permute({0, 2, 3, 1});
  at::Tensor weights = at::empty({dy.size(1), kernel, kernel, x.size(1)}, dy.options());
  for (std::int64_t row = 0; row < kernel; ++row) {
    const Reach rows = ReachOf(row, kernel / 2, stride, x.size(2), dy.size(2));
    for (std::int64_t column = 0; column < kernel; ++column) {
      const Reach columns = ReachOf(column, kernel / 2, stride, x.size(3), dy.size(3));
      at::Tensor tap = weights.select(1, row).select(1, column);
      if (rows.count == 0 || columns.count == 0) {
        tap.zero_();
        continue;
      }
      const at::Tensor met = Places(images, rows, rows.in_first, columns, columns.in_first, stride);
      at::mm_out(tap, Places(gradients, rows, rows.first, columns, columns.first, /*stride=*/1).t(),
                 met);
    }
  }
  return weights.permute({0, 3, 1, 2});
}

struct TapConvolution : torch::autograd::Function<TapConvolution> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            std::int64_t stride) {
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = stride;
    const std::int64_t padding = weight.size(2) / 2;
    return at::conv2d(x, weight, /*bias=*/{}, {stride, stride}, {padding, padding});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& weight = saved[1];
    const std::int64_t stride = context->saved_data["stride"].toInt();
    const std::int64_t padding = weight.size(2) / 2;
    const at::Tensor dy = gradients[0].contiguous(c10::MemoryFormat::ChannelsLast);
    at::Tensor dx;
    if (context->needs_input_grad(0)) {
      dx = std::get<0>(at::convolution_backward(
          dy, x, weight, /*bias_sizes=*/std::nullopt, {stride, stride}, {padding, padding},
          /*dilation=*/{1, 1}, /*transposed=*/false, /*output_padding=*/{0, 0}, /*groups=*/1,
          {true, false, false}));
    }
    return {dx, WeightGradient(x, dy, weight.size(2), stride), {}};
  }
};

}  // namespace

bool GainsByTaps(const at::Tensor& x, const at::Tensor& weight, std::int64_t stride) {
  static const bool kernels_do_well = at::get_cpu_capability() == "AVX512";
  const std::int64_t in = weight.size(1);
  const std::int64_t out = weight.size(0);
  const bool enough =
      in >= kLeastIn && (out >= kLeastOut ||
                         (out >= kLeastOutOfSmall &&
                          OutSide(x.size(2), stride) * OutSide(x.size(3), stride) <= kSmallImage));
  return enough && !kernels_do_well && weight.size(2) > 1 && c10::GradMode::is_enabled() &&
         weight.requires_grad() && x.is_cpu() && x.scalar_type() == at::kFloat &&
         weight.scalar_type() == at::kFloat && x.is_contiguous(c10::MemoryFormat::ChannelsLast) &&
         weight.is_contiguous(c10::MemoryFormat::ChannelsLast);
}

at::Tensor ConvolveWithTaps(const at::Tensor& x, const at::Tensor& weight, std::int64_t stride) {
  return TapConvolution::apply(x, weight, stride);
}

}  // namespace millrace::model
