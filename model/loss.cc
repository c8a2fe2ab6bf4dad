#include "model/loss.h"

#include <ATen/ATen.h>

#include <string>

namespace millrace::model {
namespace {

class CrossEntropy final : public Loss {
 public:
  explicit CrossEntropy(double label_smoothing) : label_smoothing_(label_smoothing) {}

  at::Tensor PerSample(const at::Tensor& logits, const at::Tensor& targets) const override {
    return Compute(logits, targets, at::Reduction::None);
  }

  at::Tensor Mean(const at::Tensor& logits, const at::Tensor& targets) const override {
    return Compute(logits, targets, at::Reduction::Mean);
  }

 private:
  at::Tensor Compute(const at::Tensor& logits, const at::Tensor& targets,
                     at::Reduction::Reduction reduction) const {
    constexpr std::int64_t kIgnoreNothing = -100;  // PyTorch's default; no class has that index
    return at::cross_entropy_loss(logits, targets, /*weight=*/{}, reduction, kIgnoreNothing,
                                  label_smoothing_);
  }

  double label_smoothing_;
};

// As timm's BinaryCrossEntropy, and with `sum_classes` Composer's.
class BinaryCrossEntropy final : public Loss {
 public:
  BinaryCrossEntropy(double label_smoothing, bool sum_classes)
      : label_smoothing_(label_smoothing), sum_classes_(sum_classes) {}

  at::Tensor PerSample(const at::Tensor& logits, const at::Tensor& targets) const override {
    const at::Tensor parts = at::binary_cross_entropy_with_logits(
        logits, Wanted(logits, targets), /*weight=*/{}, /*pos_weight=*/{}, at::Reduction::None);
    return sum_classes_ ? parts.sum(1) : parts.mean(1);
  }

  at::Tensor Mean(const at::Tensor& logits, const at::Tensor& targets) const override {
    const at::Tensor wanted = Wanted(logits, targets);
    if (!sum_classes_) return at::binary_cross_entropy_with_logits(logits, wanted);
    return at::binary_cross_entropy_with_logits(logits, wanted, /*weight=*/{}, /*pos_weight=*/{},
                                                at::Reduction::Sum) /
           logits.size(0);
  }

 private:
  // The share that each class should have, float [N, C].
  at::Tensor Wanted(const at::Tensor& logits, const at::Tensor& targets) const {
    const std::int64_t classes = logits.size(1);
    at::Tensor shares = targets;
    if (targets.dim() == 1) {
      // at::one_hot would have a GPU waited for.
      shares = at::arange(classes, targets.options()).eq(targets.unsqueeze(1)).to(logits.dtype());
    }
    if (label_smoothing_ == 0) return shares;
    return shares * (1 - label_smoothing_) + label_smoothing_ / static_cast<double>(classes);
  }

  double label_smoothing_;
  bool sum_classes_;
};

double ReadLabelSmoothing(const Params& section) {
  return section.NumberIn("label_smoothing", 0, 1, 0.0);
}

std::unique_ptr<Loss> MakeCrossEntropy(const Params& section) {
  if (section.Has("sum_classes")) {
    section.Blame("sum_classes", "has no effect on cross_entropy; binary_cross_entropy has it");
  }
  return std::make_unique<CrossEntropy>(ReadLabelSmoothing(section));
}

std::unique_ptr<Loss> MakeBinaryCrossEntropy(const Params& section) {
  const double label_smoothing = ReadLabelSmoothing(section);
  return std::make_unique<BinaryCrossEntropy>(label_smoothing, section.Flag("sum_classes", false));
}

}  // namespace

Table<LossMaker> BuiltInLosses() {
  return {{"cross_entropy", &MakeCrossEntropy}, {"binary_cross_entropy", &MakeBinaryCrossEntropy}};
}

std::unique_ptr<Loss> MakeLoss(const Params& section, const Components& known) {
  return known.losses.Choose(section, "name", "cross_entropy")(section);
}

}  // namespace millrace::model
