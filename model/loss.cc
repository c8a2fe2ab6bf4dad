#include "model/loss.h"

#include <ATen/ATen.h>

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

std::unique_ptr<Loss> MakeCrossEntropy(const Params& section) {
  return std::make_unique<CrossEntropy>(section.NumberIn("label_smoothing", 0, 1, 0.0));
}

}  // namespace

Table<LossMaker> BuiltInLosses() { return {{"cross_entropy", &MakeCrossEntropy}}; }

std::unique_ptr<Loss> MakeLoss(const Params& section, const Components& known) {
  return known.losses.Choose(section, "name", "cross_entropy")(section);
}

}  // namespace millrace::model
