// All that an evaluation yields: exact counts, and on demand what people look at beside them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/classification_counts.h"
#include "model/metric_sums.h"
#include "model/notable_answers.h"
#include "model/other_labels.h"
#include "model/threshold_counts.h"

namespace millrace::model {

// The same whatever split of the samples was added in whatever order. One thread at a time.
class EvaluationResult {
 public:
  struct Options {
    std::uint64_t samples = 0;  // of the whole evaluation
    std::uint32_t notable = 0;  // answers of each kind to keep
    bool curves = false;        // whether to count for precision-recall curves
    // Of all samples, to count by, too; it must outlive the result. nullptr: there are none.
    const OtherLabels* other_labels = nullptr;
    // They must outlive the result. nullptr: there are none.
    const Metrics* metrics = nullptr;
  };

  // REQUIRES: classes >= 1
  EvaluationResult(std::int64_t classes, const Options& options);

  // Adds a batch, on the CPU: the samples' ids, and what ClassificationCounts::Add takes. Throws
  // Error when a label is not a class, and what MetricSums::Add throws.
  void Add(std::span<const std::uint64_t> ids, const at::Tensor& logits, const at::Tensor& labels,
           const at::Tensor& losses);

  // All of it as numbers, always as many, and their addition, for their way to another process.
  std::vector<std::int64_t> ToNumbers() const;
  // REQUIRES: `numbers` are ToNumbers() of one made alike
  void MergeNumbers(std::span<const std::int64_t> numbers);

  const ClassificationCounts& counts() const { return counts_; }
  const NotableAnswers& notable() const { return notable_; }
  // Nothing where they were not asked for.
  const std::optional<ThresholdCounts>& thresholds() const { return thresholds_; }
  const std::optional<OtherLabelCounts>& by_other_labels() const { return by_other_labels_; }
  // Of the metrics, each with its name.
  std::vector<std::pair<std::string, double>> MetricValues() const;

 private:
  bool wants_probabilities_;
  ClassificationCounts counts_;
  NotableAnswers notable_;
  std::optional<ThresholdCounts> thresholds_;
  const OtherLabels* other_labels_;
  std::optional<OtherLabelCounts> by_other_labels_;
  std::optional<MetricSums> metric_sums_;
};

}  // namespace millrace::model
