#include "model/evaluation_result.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

namespace millrace::model {

EvaluationResult::EvaluationResult(std::int64_t classes, const Options& options)
    : wants_probabilities_(options.notable > 0 || options.curves),
      counts_(classes),
      notable_(options.notable, options.samples),
      other_labels_(options.other_labels) {
  if (options.curves) thresholds_.emplace(classes);
  if (other_labels_ != nullptr) by_other_labels_.emplace();
  if (options.metrics != nullptr) metric_sums_.emplace(*options.metrics);
}

void EvaluationResult::Add(std::span<const std::uint64_t> ids, const at::Tensor& logits,
                           const at::Tensor& labels, const at::Tensor& losses) {
  counts_.Add(logits, labels, losses);
  if (!wants_probabilities_ && !by_other_labels_ && !metric_sums_) return;
  const c10::InferenceMode no_gradients;
  const at::Tensor scores = logits.to(at::kFloat).contiguous();
  if (by_other_labels_) by_other_labels_->Add(*other_labels_, ids, scores, labels.contiguous());
  if (metric_sums_) metric_sums_->Add(scores, labels.contiguous());
  if (!wants_probabilities_) return;
  const at::Tensor probabilities = scores.softmax(1);
  notable_.Add(ids, scores, probabilities, labels.contiguous(), losses.to(at::kFloat).contiguous());
  if (thresholds_) thresholds_->Add(probabilities, labels.contiguous());
}

std::vector<std::int64_t> EvaluationResult::ToNumbers() const {
  std::vector<std::int64_t> numbers = counts_.ToNumbers();
  const auto add = [&numbers](const std::vector<std::int64_t>& more) {
    numbers.insert(numbers.end(), more.begin(), more.end());
  };
  add(notable_.ToNumbers());
  if (thresholds_) add(thresholds_->ToNumbers());
  if (by_other_labels_) add(by_other_labels_->ToNumbers());
  if (metric_sums_) add(metric_sums_->ToNumbers());
  return numbers;
}

void EvaluationResult::MergeNumbers(std::span<const std::int64_t> numbers) {
  const auto next = [&numbers](std::size_t size) {
    const auto part = numbers.first(size);
    numbers = numbers.subspan(size);
    return part;
  };
  const auto of_counts = next(counts_.ToNumbers().size());
  counts_.Merge(
      ClassificationCounts::FromNumbers(counts_.classes(), {of_counts.begin(), of_counts.end()}));
  notable_.MergeNumbers(next(notable_.ToNumbers().size()));
  if (thresholds_) thresholds_->MergeNumbers(next(thresholds_->ToNumbers().size()));
  if (by_other_labels_) by_other_labels_->MergeNumbers(next(by_other_labels_->ToNumbers().size()));
  if (metric_sums_) metric_sums_->MergeNumbers(next(metric_sums_->ToNumbers().size()));
}

std::vector<std::pair<std::string, double>> EvaluationResult::MetricValues() const {
  if (!metric_sums_) return {};
  return metric_sums_->Values();
}

}  // namespace millrace::model
