// What the samples of an evaluation add up to for its metrics.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/exact_sum.h"
#include "model/metric.h"

namespace millrace::model {

// The same whatever split of the samples was added in whatever order. One thread at a time.
class MetricSums {
 public:
  // `metrics` outlive it.
  explicit MetricSums(const Metrics& metrics);

  // Adds a batch: logits float [N, C] and labels int64 [N], contiguous on the CPU. Throws Error
  // naming a metric that does not give double [N, K].
  void Add(const at::Tensor& logits, const at::Tensor& labels);

  // All sums as numbers, always as many, and their addition, for their way to another process.
  std::vector<std::int64_t> ToNumbers() const;
  // REQUIRES: `numbers` are ToNumbers() of the same metrics
  void MergeNumbers(std::span<const std::int64_t> numbers);

  // Each metric's name and value; NaN without samples.
  std::vector<std::pair<std::string, double>> Values() const;

 private:
  const Metrics* metrics_;
  std::int64_t samples_ = 0;
  std::vector<ExactSum> sums_;  // of one metric behind those of the other
};

}  // namespace millrace::model
