#include "model/threshold_counts.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/check.h"

namespace millrace::model {
namespace {

constexpr auto kSteps = static_cast<float>(ThresholdCounts::kThresholds - 1);

// The highest threshold that the probability reaches.
std::int64_t BinOf(float probability) {
  const float place = probability * kSteps;
  // Also where it is NaN.
  if (!(place >= 1)) return 0;
  // A softmax may be above 1 by its last bit.
  return std::min<std::int64_t>(static_cast<std::int64_t>(place), ThresholdCounts::kThresholds - 1);
}

}  // namespace

ThresholdCounts::ThresholdCounts(std::int64_t classes)
    : classes_(classes), curves_(1 + (classes <= kMostClassesWithCurves ? classes : 0)) {
  MILLRACE_CHECK(classes >= 1);
  counts_.resize(static_cast<std::size_t>(2 * curves_ * kThresholds), 0);
}

void ThresholdCounts::Add(const at::Tensor& probabilities, const at::Tensor& labels) {
  const std::int64_t samples = labels.numel();
  MILLRACE_CHECK(probabilities.numel() == samples * classes_);
  std::int64_t* const others = Bins(0, false);
  for (std::int64_t i = 0; i < samples; ++i) {
    const float* const row = probabilities.const_data_ptr<float>() + i * classes_;
    const std::int64_t label = labels.const_data_ptr<std::int64_t>()[i];
    // Of many classes nearly all have next to nothing.
    std::int64_t reaching = 0;
    for (std::int64_t c = 0; c < classes_; ++c) {
      if (!(row[c] * kSteps >= 1)) continue;
      ++others[BinOf(row[c])];
      ++reaching;
    }
    others[0] += classes_ - reaching;
    --others[BinOf(row[label])];
    ++Bins(0, true)[BinOf(row[label])];
    for (std::int64_t c = 0; c < classes_with_curves(); ++c) {
      ++Bins(c + 1, c == label)[BinOf(row[c])];
    }
  }
}

void ThresholdCounts::MergeNumbers(std::span<const std::int64_t> numbers) {
  MILLRACE_CHECK(numbers.size() == counts_.size());
  std::transform(counts_.begin(), counts_.end(), numbers.begin(), counts_.begin(), std::plus<>());
}

ThresholdCounts::Curve ThresholdCounts::CurveAt(std::int64_t curve) const {
  MILLRACE_CHECK(curve < curves_);
  // At threshold i everything from bin i on is taken for the class.
  const auto reaching = [this, curve](std::int64_t right) {
    const auto begin = counts_.begin() + (2 * curve + right) * kThresholds;
    std::vector<std::int64_t> sums(begin, begin + kThresholds);
    for (std::size_t i = sums.size() - 1; i > 0; --i) sums[i - 1] += sums[i];
    return sums;
  };
  const auto rest = [](const std::vector<std::int64_t>& sums) {
    std::vector<std::int64_t> list(sums.size());
    std::transform(sums.begin(), sums.end(), list.begin(),
                   [&sums](std::int64_t sum) { return sums[0] - sum; });
    return list;
  };
  Curve made{.true_positives = reaching(1),
             .false_positives = reaching(0),
             .true_negatives = {},
             .false_negatives = {}};
  made.true_negatives = rest(made.false_positives);
  made.false_negatives = rest(made.true_positives);
  return made;
}

}  // namespace millrace::model
