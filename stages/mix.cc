#include "stages/mix.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace millrace::stages {
namespace {

// Draws for a batch are those of its first sample's place, under a number that no operation of a
// list has.
constexpr std::uint32_t kMixOpIndex = 65535;

// Places in MixTensor().
enum : std::int64_t {
  kOwn,
  kOther,
  kOwnLabel,
  kOtherLabel,
  kLeft,
  kRight,
  kTop,
  kBottom,
  kNumbers
};

Mix CutMix(double share, Size picture, RandomStream* random) {
  const auto x = static_cast<int>(random->Below(static_cast<std::uint32_t>(picture.width)));
  const auto y = static_cast<int>(random->Below(static_cast<std::uint32_t>(picture.height)));
  const double half = 0.5 * std::sqrt(1 - share);
  const auto half_width = static_cast<int>(half * picture.width);
  const auto half_height = static_cast<int>(half * picture.height);
  const int left = std::max(0, x - half_width);
  const int top = std::max(0, y - half_height);
  const int right = std::min(picture.width, x + half_width);
  const int bottom = std::min(picture.height, y + half_height);
  const double area = static_cast<double>(right - left) * (bottom - top);
  return {.own = 1,
          .box = {left, top, right - left, bottom - top},
          .own_label = 1 - area / (static_cast<double>(picture.width) * picture.height)};
}

// The picture before each. As one concatenation, which keeps the layout in memory.
at::Tensor Others(const at::Tensor& batch) {
  const std::int64_t size = batch.size(0);
  return at::cat({batch.narrow(0, size - 1, 1), batch.narrow(0, 0, size - 1)});
}

// float32 [size]: 1 from `low` to before `high`, 0 elsewhere.
at::Tensor Within(std::int64_t size, const at::Tensor& low, const at::Tensor& high) {
  const at::Tensor at = at::arange(size, low.options());
  return at.ge(low).logical_and(at.lt(high));
}

}  // namespace

Mixing::Mixing(const std::vector<Params>& ops, std::uint64_t seed) : seed_(seed) {
  constexpr double kLargestAlpha = 100;  // beyond it every share is one half
  for (const Params& section : ops) {
    Op op;
    const bool is_mix_up = section.Choice("op", {"mixup", "cutmix"}) == "mixup";
    op.kind = is_mix_up ? Kind::kMixUp : Kind::kCutMix;
    op.alpha = section.NumberIn("alpha", 0, kLargestAlpha, 1.0);
    if (op.alpha == 0) section.Blame("alpha", "must be more than 0");
    op.p = section.NumberIn("p", 0, 1, 1.0);
    ops_.push_back(op);
  }
}

Mix Mixing::Plan(const Batch& batch, Size picture) const {
  RandomStream random({.seed = seed_, .epoch = batch.epoch, .sample_id = batch.first_position},
                      kMixOpIndex);
  const Op& op = ops_[random.Below(static_cast<std::uint32_t>(ops_.size()))];
  if (random.Uniform() >= op.p) return {};
  const double share = SymmetricBeta(op.alpha, &random);
  if (op.kind == Kind::kCutMix) return CutMix(share, picture, &random);
  return {.own = share, .box = {}, .own_label = share};
}

double SymmetricBeta(double alpha, RandomStream* random) {
  if (alpha >= 1) {
    // By rejection from the uniform distribution: the density is (4 x (1 - x))^(alpha - 1) of its
    // largest value.
    for (;;) {
      const double x = random->Uniform();
      if (random->Uniform() <= std::pow(4 * x * (1 - x), alpha - 1)) return x;
    }
  }
  // Jöhnk, "Erzeugung von betaverteilten und gammaverteilten Zufallszahlen", Metrika 8, 1964; by
  // logarithms, because powers of small numbers vanish.
  for (;;) {
    const double log_x = std::log(1 - random->Uniform()) / alpha;
    const double log_y = std::log(1 - random->Uniform()) / alpha;
    const double larger = std::max(log_x, log_y);
    const double log_sum = larger + std::log1p(std::exp(std::min(log_x, log_y) - larger));
    if (log_sum <= 0) return std::exp(log_x - log_sum);
  }
}

at::Tensor MixTensor(const Mix& mix) {
  at::Tensor tensor = at::empty({kNumbers}, at::kFloat);
  float* numbers = tensor.data_ptr<float>();
  numbers[kOwn] = static_cast<float>(mix.own);
  numbers[kOther] = static_cast<float>(1 - mix.own);
  numbers[kOwnLabel] = static_cast<float>(mix.own_label);
  numbers[kOtherLabel] = static_cast<float>(1 - mix.own_label);
  numbers[kLeft] = static_cast<float>(mix.box.x);
  numbers[kRight] = static_cast<float>(mix.box.x + mix.box.width);
  numbers[kTop] = static_cast<float>(mix.box.y);
  numbers[kBottom] = static_cast<float>(mix.box.y + mix.box.height);
  return tensor;
}

at::Tensor MixedImages(const DeviceBatch& batch) {
  const at::Tensor& images = batch.images;
  const at::Tensor& mix = batch.mix;
  if (!mix.defined()) return images;
  const at::Tensor in_box = Within(images.size(2), mix[kTop], mix[kBottom])
                                .unsqueeze(1)
                                .logical_and(Within(images.size(3), mix[kLeft], mix[kRight]));
  const auto share = [&](double within, const at::Tensor& elsewhere) {
    return at::where(in_box, at::full({}, within, mix.options()), elsewhere)
        .to(images.scalar_type());
  };
  at::Tensor mixed = images * share(0, mix[kOwn]);
  mixed.add_(Others(images).mul_(share(1, mix[kOther])));
  return mixed;
}

at::Tensor MixedTargets(const DeviceBatch& batch, std::int64_t classes) {
  const at::Tensor& mix = batch.mix;
  if (!mix.defined()) return batch.labels;
  const at::Tensor own = at::zeros({batch.labels.size(0), classes}, mix.options())
                             .scatter_(1, batch.labels.unsqueeze(1), 1.0);
  return Others(own).mul_(mix[kOtherLabel]).add_(own * mix[kOwnLabel]);
}

}  // namespace millrace::stages
