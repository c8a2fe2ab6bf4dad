#include "model/sync_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace millrace::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// How autograd keeps the group from forward to backward.
struct Ranks final : torch::CustomClassHolder {
  explicit Ranks(ProcessGroup& its_group) : group(its_group) {}
  ProcessGroup& group;
};

// For tensors [N, C, H, W].
at::Tensor ByChannel(const at::Tensor& numbers) { return numbers.view({1, -1, 1, 1}); }

// Of a batch, for each channel, in float64: what is made of them costs nothing, and counts stay
// exact.
struct Statistics {
  at::Tensor mean;
  at::Tensor squares;  // sum of the squares of the distances from the mean
  at::Tensor count;    // [1]
};

Statistics OwnStatistics(const at::Tensor& x, const at::TensorOptions& options) {
  // Running statistics that nobody reads tell ATen the type in which 16 bits are to be added up.
  const at::Tensor unread = at::zeros({2, x.size(1)}, options);
  const auto [mean, variance] =
      at::batch_norm_update_stats(x, unread[0], unread[1], /*momentum=*/1.0);
  const auto pixels = static_cast<double>(x.numel() / x.size(1));
  return {.mean = mean.to(at::kDouble),
          .squares = variance.to(at::kDouble) * pixels,
          .count = at::full({1}, pixels, options.dtype(at::kDouble))};
}

// Of all ranks' batches together: Chan, Golub and LeVeque, "Updating formulae and a pairwise
// algorithm for computing sample variances" (1979), for any number of parts.
Statistics OfAllRanks(const Statistics& own, ProcessGroup& ranks) {
  const std::int64_t channels = own.mean.size(0);
  const at::Tensor all = ranks.AllGather(at::cat({own.mean, own.squares, own.count}));
  const at::Tensor means = all.narrow(1, 0, channels);
  const at::Tensor squares = all.narrow(1, channels, channels);
  const at::Tensor counts = all.narrow(1, 2 * channels, 1);
  const at::Tensor count = counts.sum(0);
  const at::Tensor mean = (means * counts).sum(0) / count;
  return {
      .mean = mean, .squares = (squares + (means - mean).square() * counts).sum(0), .count = count};
}

void UpdateRunning(const BatchNorm2d& norm, const Statistics& batch) {
  const auto approach = [](const at::Tensor& running, const at::Tensor& value) {
    running.mul_(1 - BatchNorm2d::kMomentum)
        .add_(value.to(running.scalar_type()), BatchNorm2d::kMomentum);
  };
  approach(norm.running_mean, batch.mean);
  approach(norm.running_var, batch.squares / (batch.count - 1));
  norm.num_batches_tracked.add_(1);
}

struct SyncNormFunction : torch::autograd::Function<SyncNormFunction> {
  // Weight and bias are those of `norm`, named for autograd's sake.
  static at::Tensor forward(AutogradContext* context, const BatchNorm2d* norm, ProcessGroup* ranks,
                            const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    const at::Tensor packed = x.contiguous(x.suggest_memory_format());
    const at::TensorOptions options = norm->running_mean.options();
    const Statistics batch = OfAllRanks(OwnStatistics(packed, options), *ranks);
    UpdateRunning(*norm, batch);
    const at::Tensor variance = batch.squares / batch.count;
    const at::Tensor mean = batch.mean.to(options.dtype());
    const at::Tensor inverse = (variance + BatchNorm2d::kEpsilon).rsqrt().to(options.dtype());
    context->save_for_backward({packed, weight, mean, inverse, batch.count});
    context->saved_data["ranks"] = c10::IValue::make_capsule(c10::make_intrusive<Ranks>(*ranks));
    // With statistics that are given it is one pass over `x`.
    return std::get<0>(at::native_batch_norm(packed, weight, bias, mean,
                                             variance.to(options.dtype()), /*training=*/false,
                                             BatchNorm2d::kMomentum, BatchNorm2d::kEpsilon));
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& mean = saved[2];
    const at::Tensor& inverse = saved[3];
    const auto ranks = context->saved_data["ranks"].toCapsule();
    const at::Tensor dy = gradients[0].contiguous(x.suggest_memory_format());
    // With the mean and deviation of all ranks these are sums over this rank of dy times the
    // normalised x, and of dy.
    const auto sums = at::native_batch_norm_backward(
        dy, x, saved[1], /*running_mean=*/{}, /*running_var=*/{}, mean, inverse, /*train=*/true,
        BatchNorm2d::kEpsilon, {false, true, true});
    const at::Tensor& of_weight = std::get<1>(sums);
    const at::Tensor& of_bias = std::get<2>(sums);
    const at::Tensor means = static_cast<Ranks&>(*ranks)
                                 .group.AllGather(at::stack({of_weight, of_bias}).to(at::kDouble))
                                 .sum(0)
                                 .div_(saved[4])
                                 .to(mean.scalar_type());
    // (dy - means[1] - (x - mean) * inverse * means[0]) * inverse * weight
    const at::Tensor scale = inverse * saved[1];
    const at::Tensor slope = scale * inverse * means[0];
    const at::Tensor offset = mean * slope - scale * means[1];
    at::Tensor dx = at::addcmul(ByChannel(offset), x, ByChannel(slope), -1);
    dx.addcmul_(dy, ByChannel(scale));
    return {{}, {}, dx.to(x.scalar_type()), of_weight, of_bias};
  }
};

}  // namespace

at::Tensor SyncNorm(const BatchNorm2d& norm, const at::Tensor& x, ProcessGroup& ranks) {
  return SyncNormFunction::apply(&norm, &ranks, x, norm.weight, norm.bias);
}

}  // namespace millrace::model
