#include "model/value_histogram.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace millrace::model {
namespace {

// The sign, the exponent and two bits of the mantissa of a float32 are its bucket.
constexpr int kBitsBelow = 21;
constexpr std::int64_t kMagnitudes = 1024;  // of either sign

// The smallest magnitude of which the upper bits are these.
double Magnitude(std::int64_t upper_bits) {
  return static_cast<double>(
      std::bit_cast<float>(static_cast<std::uint32_t>(upper_bits) << kBitsBelow));
}

void AddBucket(double limit, double count, ValueHistogram& histogram) {
  if (count == 0) {
    if (histogram.limits.empty()) return;  // nothing is below the first
    if (histogram.counts.back() == 0) {
      histogram.limits.back() = limit;
      return;
    }
  }
  histogram.limits.push_back(limit);
  histogram.counts.push_back(count);
}

}  // namespace

std::optional<ValueHistogram> CountValues(const at::Tensor& values) {
  if (values.numel() == 0) return {};
  const c10::NoGradGuard no_gradients;
  const at::Tensor numbers = values.detach().to(at::kFloat).reshape({-1});
  const auto [least, most] = numbers.aminmax();
  const at::Tensor figures =
      at::stack({least.to(at::kDouble), most.to(at::kDouble), numbers.sum(at::kDouble),
                 numbers.to(at::kDouble).square_().sum()})
          .cpu();
  const double* const figure = figures.const_data_ptr<double>();
  if (!std::isfinite(figure[0]) || !std::isfinite(figure[1])) return {};

  // One below for numbers that are not negative: a limit belongs to the bucket below it, and zero
  // to none of the positive ones.
  const at::Tensor bits = numbers.view(at::kInt);
  const at::Tensor buckets =
      bits.sub(bits.ge(0).to(at::kInt)).bitwise_right_shift_(kBitsBelow).add_(kMagnitudes);
  const at::Tensor counted = at::bincount(buckets, {}, 2 * kMagnitudes).cpu();
  const auto count = [&counted](std::int64_t bucket) {
    return static_cast<double>(counted.const_data_ptr<std::int64_t>()[bucket]);
  };

  ValueHistogram histogram{.min = figure[0],
                           .max = figure[1],
                           .sum = figure[2],
                           .sum_of_squares = figure[3],
                           .limits = {},
                           .counts = {}};
  // Negative ones have their magnitude as bucket, and the largest of those, no number's, is zero's.
  for (std::int64_t i = kMagnitudes - 2; i > 0; --i) {
    AddBucket(-Magnitude(i), count(i), histogram);
  }
  AddBucket(0, count(0) + count(kMagnitudes - 1), histogram);
  for (std::int64_t i = 0; i < kMagnitudes - 1; ++i) {
    AddBucket(Magnitude(i + 1), count(kMagnitudes + i), histogram);
  }
  if (histogram.counts.back() == 0) {
    histogram.limits.pop_back();
    histogram.counts.pop_back();
  }
  return histogram;
}

}  // namespace millrace::model
