// Exact counts of how a classifier did.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/exact_sum.h"

namespace millrace::model {

// Whole numbers only, so that any split of the samples into batches, lanes and ranks, added in any
// order, gives the same counts; rates are computed at the end. One thread at a time.
//
// The rank of a sample is the number of classes whose logit is greater than that of its label, or
// equal with a smaller index: top-1 counts rank 0, top-5 ranks below 5. A sample with a NaN among
// its logits has no answer: it counts as wrong and stays out of the confusion matrix.
class ClassificationCounts {
 public:
  // REQUIRES: classes >= 1
  explicit ClassificationCounts(std::int64_t classes);

  // Adds a batch: logits float [N, C], labels int64 [N], and the loss of each sample float [N] (see
  // Loss::PerSample); on any device, copied to the CPU. Throws Error when a label is not a class.
  void Add(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& losses);

  // Adds another's counts. REQUIRES: the same number of classes
  void Merge(const ClassificationCounts& other);

  // All counts as numbers, and back again, for their way to another process.
  std::vector<std::int64_t> ToNumbers() const;
  // REQUIRES: `numbers` are ToNumbers() of so many classes
  static ClassificationCounts FromNumbers(std::int64_t classes,
                                          const std::vector<std::int64_t>& numbers);

  std::int64_t classes() const { return classes_; }
  std::int64_t samples() const { return samples_; }
  std::int64_t top1() const { return top1_; }
  std::int64_t top5() const { return top5_; }
  std::int64_t unanswered() const { return unanswered_; }

  // Samples of the class, and how many of them were right (top-1).
  std::int64_t ClassSamples(std::int64_t label) const { return class_samples_[Index(label)]; }
  std::int64_t ClassRight(std::int64_t label) const { return Confusion(label, label); }
  // Samples of class `label` that were taken for class `answer`.
  std::int64_t Confusion(std::int64_t label, std::int64_t answer) const {
    return confusion_[Index(label * classes_ + answer)];
  }

  // Shares of samples(), and the mean loss (an ExactSum's); 0 without samples.
  double Top1Rate() const;
  double Top5Rate() const;
  double MeanLoss() const;

  // Samples of one class that were taken for another.
  struct Mistake {
    std::int64_t label = 0;
    std::int64_t answer = 0;
    std::int64_t count = 0;

    bool operator==(const Mistake&) const = default;
  };
  // The most frequent mistakes, most frequent first and then by label and answer, at most so many.
  std::vector<Mistake> WorstMistakes(std::size_t most) const;

  bool operator==(const ClassificationCounts&) const = default;

 private:
  static std::size_t Index(std::int64_t i) { return static_cast<std::size_t>(i); }

  std::int64_t classes_;
  std::int64_t samples_ = 0;
  std::int64_t top1_ = 0;
  std::int64_t top5_ = 0;
  std::int64_t unanswered_ = 0;
  ExactSum loss_;
  std::vector<std::int64_t> class_samples_;
  std::vector<std::int64_t> confusion_;  // [label][answer]
};

}  // namespace millrace::model
