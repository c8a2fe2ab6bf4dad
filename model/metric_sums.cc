#include "model/metric_sums.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <array>
#include <cstddef>
#include <limits>

#include "base/check.h"
#include "base/error.h"

namespace millrace::model {
namespace {

std::size_t NumSums(const NamedMetric& named) {
  return static_cast<std::size_t>(named.metric->num_sums());
}

}  // namespace

MetricSums::MetricSums(const Metrics& metrics) : metrics_(&metrics) {
  for (const NamedMetric& named : metrics) sums_.resize(sums_.size() + NumSums(named));
}

void MetricSums::Add(const at::Tensor& logits, const at::Tensor& labels) {
  const c10::InferenceMode no_gradients;
  const std::int64_t count = labels.numel();
  samples_ += count;
  std::span<ExactSum> rest(sums_);
  for (const NamedMetric& named : *metrics_) {
    const std::span<ExactSum> sums = rest.first(NumSums(named));
    rest = rest.subspan(sums.size());
    const at::Tensor given = named.metric->OfSamples(logits, labels);
    const std::array wanted{count, named.metric->num_sums()};
    if (!given.defined() || !given.is_cpu() || given.sizes() != at::IntArrayRef(wanted) ||
        given.scalar_type() != at::kDouble) {
      Fail("the metric \"{}\" must give double [{}, {}] for a batch of {} samples, on the CPU",
           named.name, count, sums.size(), count);
    }
    const at::Tensor terms = given.contiguous();
    const double* term = terms.const_data_ptr<double>();
    for (std::int64_t sample = 0; sample < count; ++sample) {
      for (ExactSum& sum : sums) sum.Add(*term++);
    }
  }
}

std::vector<std::int64_t> MetricSums::ToNumbers() const {
  std::vector<std::int64_t> numbers{samples_};
  for (const ExactSum& sum : sums_) {
    numbers.insert(numbers.end(), {sum.units, sum.impossible});
  }
  return numbers;
}

void MetricSums::MergeNumbers(std::span<const std::int64_t> numbers) {
  MILLRACE_CHECK(numbers.size() == 1 + 2 * sums_.size());
  samples_ += numbers[0];
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    sums_[i].Merge({.units = numbers[1 + 2 * i], .impossible = numbers[2 + 2 * i]});
  }
}

std::vector<std::pair<std::string, double>> MetricSums::Values() const {
  std::vector<double> values;
  for (const ExactSum& sum : sums_) values.push_back(sum.Value());
  std::span<const double> rest(values);
  std::vector<std::pair<std::string, double>> named_values;
  for (const NamedMetric& named : *metrics_) {
    const std::span<const double> sums = rest.first(NumSums(named));
    rest = rest.subspan(sums.size());
    named_values.emplace_back(
        named.name, samples_ == 0 ? std::numeric_limits<double>::quiet_NaN()
                                  : named.metric->Value(sums, static_cast<double>(samples_)));
  }
  return named_values;
}

}  // namespace millrace::model
