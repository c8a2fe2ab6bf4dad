#include "model/metric.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <utility>

namespace millrace::model {
namespace {

// What every line of an evaluation has anyway.
constexpr std::array<std::string_view, 8> kTaken = {"group", "step",  "epoch", "top1",
                                                    "top5",  "error", "loss",  "samples"};
// What all trackers take, MLflow the fewest.
constexpr std::string_view kLetters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

// Double [N, C]: 1 at each of `classes`, int64 [N]; nothing for one that is no class.
at::Tensor OneHot(const at::Tensor& classes, std::int64_t num_classes) {
  return classes.unsqueeze(1).eq(at::arange(num_classes, at::kLong)).to(at::kDouble);
}

// Int64 [N]; -1 where there is none.
at::Tensor Answers(const at::Tensor& logits) {
  return logits.argmax(1).masked_fill(logits.isnan().any(1), -1);
}

at::Tensor Probabilities(const at::Tensor& logits) { return logits.to(at::kDouble).softmax(1); }

// The mean over classes of one sum by another, without the classes whose other sum is 0.
class MeanOverClasses : public Metric {
 public:
  explicit MeanOverClasses(std::int64_t classes) : classes_(classes) {}

  std::int64_t num_sums() const override { return 2 * classes_; }

  at::Tensor OfSamples(const at::Tensor& logits, const at::Tensor& labels) const override {
    const auto [above, below] =
        Fraction(OneHot(labels, classes_), OneHot(Answers(logits), classes_));
    return at::cat({above, below}, 1);
  }

  double Value(std::span<const double> sums, double) const override {
    const auto classes = static_cast<std::size_t>(classes_);
    double total = 0;
    double seen = 0;
    for (std::size_t i = 0; i < classes; ++i) {
      if (sums[classes + i] == 0) continue;
      total += sums[i] / sums[classes + i];
      ++seen;
    }
    return total / seen;
  }

 private:
  // What a sample adds to both sums of each class, for its class and its answer as 0 and 1, all
  // double [N, C].
  virtual std::pair<at::Tensor, at::Tensor> Fraction(const at::Tensor& is_class,
                                                     const at::Tensor& is_answer) const = 0;

  std::int64_t classes_;
};

class MeanClassAccuracy final : public MeanOverClasses {
  using MeanOverClasses::MeanOverClasses;

  std::pair<at::Tensor, at::Tensor> Fraction(const at::Tensor& is_class,
                                             const at::Tensor& is_answer) const override {
    return {is_class * is_answer, is_class};
  }
};

class MacroF1 final : public MeanOverClasses {
  using MeanOverClasses::MeanOverClasses;

  std::pair<at::Tensor, at::Tensor> Fraction(const at::Tensor& is_class,
                                             const at::Tensor& is_answer) const override {
    return {2 * is_class * is_answer, is_class + is_answer};
  }
};

class BrierScore final : public Metric {
 public:
  at::Tensor OfSamples(const at::Tensor& logits, const at::Tensor& labels) const override {
    const at::Tensor truth = OneHot(labels, logits.size(1));
    return (Probabilities(logits) - truth).square().sum(1, /*keepdim=*/true);
  }
};

class CalibrationError final : public Metric {
 public:
  explicit CalibrationError(std::int64_t bins) : bins_(bins) {}

  std::int64_t num_sums() const override { return bins_; }

  // A bin's samples * |accuracy - confidence| is |right answers - sum of confidences|.
  at::Tensor OfSamples(const at::Tensor& logits, const at::Tensor& labels) const override {
    const at::Tensor confidence = Probabilities(logits).amax(1);
    // Bin b has the confidences in (b / bins, (b + 1) / bins]. A NaN's bin does not matter.
    const at::Tensor bin =
        (confidence.nan_to_num() * bins_).ceil().sub(1).clamp(0, bins_ - 1).to(at::kLong);
    const at::Tensor right = Answers(logits).eq(labels).to(at::kDouble);
    return at::zeros({logits.size(0), bins_}, at::kDouble)
        .scatter_(1, bin.unsqueeze(1), (right - confidence).unsqueeze(1));
  }

  double Value(std::span<const double> sums, double samples) const override {
    double total = 0;
    for (const double sum : sums) total += std::abs(sum);
    return total / samples;
  }

 private:
  std::int64_t bins_;
};

template <typename Kind>
std::unique_ptr<Metric> Make(const Params&, std::int64_t classes) {
  return std::make_unique<Kind>(classes);
}

std::unique_ptr<Metric> MakeBrierScore(const Params&, std::int64_t) {
  return std::make_unique<BrierScore>();
}

std::unique_ptr<Metric> MakeCalibrationError(const Params& section, std::int64_t) {
  return std::make_unique<CalibrationError>(section.IntegerIn("bins", 1, 1000, 15));
}

}  // namespace

Table<MetricMaker> BuiltInMetrics() {
  return {{"mean_class_accuracy", &Make<MeanClassAccuracy>},
          {"macro_f1", &Make<MacroF1>},
          {"brier_score", &MakeBrierScore},
          {"calibration_error", &MakeCalibrationError}};
}

Metrics MakeMetrics(const Params& section, std::int64_t classes, const Components& known) {
  Metrics metrics;
  for (const Params& one : section.Sections("metrics")) {
    const MetricMaker make = known.metrics.Choose(one, "metric");
    std::string name = one.Text("name", one.Text("metric"));
    const auto has_name = [&name](const auto& other) { return other.name == name; };
    if (name.empty() || name.find_first_not_of(kLetters) != name.npos) {
      one.Blame("name", fmt::format("is \"{}\"; it must be of letters, digits, _, - and .", name));
    }
    if (std::find(kTaken.begin(), kTaken.end(), name) != kTaken.end() ||
        std::any_of(metrics.begin(), metrics.end(), has_name)) {
      one.Blame("name", fmt::format("is \"{}\", which another number of an evaluation has", name));
    }
    metrics.push_back({.name = std::move(name), .metric = make(one, classes)});
  }
  return metrics;
}

}  // namespace millrace::model
