// How often a class's probability reaches each of some thresholds: what precision-recall curves are
// made of.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace millrace::model {

// Whole numbers, so that any split of the samples into batches, lanes and ranks gives the same. One
// thread at a time.
//
// Of all classes together (micro-average: each pair of a sample and a class is one decision), and
// of each class where there are few. A probability reaches the threshold i / 100 where
// floor(probability * 100) >= i in float32, as TensorBoard's own pr_curve counts; one that is NaN
// reaches the first alone.
class ThresholdCounts {
 public:
  static constexpr std::int64_t kThresholds = 101;
  // More curves nobody looks at.
  static constexpr std::int64_t kMostClassesWithCurves = 10;

  // REQUIRES: classes >= 1
  explicit ThresholdCounts(std::int64_t classes);

  // Adds a batch: probabilities float [N, C] and labels int64 [N], contiguous on the CPU.
  void Add(const at::Tensor& probabilities, const at::Tensor& labels);

  // All counts as numbers, always as many, and their addition, for their way to another process.
  const std::vector<std::int64_t>& ToNumbers() const { return counts_; }
  // REQUIRES: `numbers` are ToNumbers() of as many classes
  void MergeNumbers(std::span<const std::int64_t> numbers);

  // Decisions at each threshold.
  struct Curve {
    std::vector<std::int64_t> true_positives;
    std::vector<std::int64_t> false_positives;
    std::vector<std::int64_t> true_negatives;
    std::vector<std::int64_t> false_negatives;
  };
  Curve MicroAverage() const { return CurveAt(0); }
  // So many classes have curves of their own: all or none.
  std::int64_t classes_with_curves() const { return curves_ - 1; }
  // REQUIRES: label < classes_with_curves()
  Curve OfClass(std::int64_t label) const { return CurveAt(label + 1); }

 private:
  // Of a curve: probabilities of classes that are the sample's (`right`) or are not, by the highest
  // threshold that they reach.
  std::int64_t* Bins(std::int64_t curve, bool right) {
    return counts_.data() + (2 * curve + (right ? 1 : 0)) * kThresholds;
  }
  Curve CurveAt(std::int64_t curve) const;

  std::int64_t classes_;
  std::int64_t curves_;  // of all classes together, then of each
  std::vector<std::int64_t> counts_;
};

}  // namespace millrace::model
