#include "model/value_histogram.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <span>

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

// What a histogram is made of.
struct Figures {
  double least = 0;
  double most = 0;
  double sum = 0;
  double sum_of_squares = 0;
  std::array<std::int64_t, 2 * kMagnitudes> counts{};
};

// By tensor operations, wherever the tensor is.
Figures FiguresOf(const at::Tensor& numbers) {
  const auto [least, most] = numbers.aminmax();
  const at::Tensor figures =
      at::stack({least.to(at::kDouble), most.to(at::kDouble), numbers.sum(at::kDouble),
                 numbers.to(at::kDouble).square_().sum()})
          .cpu();
  const double* const figure = figures.const_data_ptr<double>();
  // One below for numbers that are not negative: a limit belongs to the bucket below it, and zero
  // to none of the positive ones.
  const at::Tensor bits = numbers.view(at::kInt);
  const at::Tensor buckets =
      bits.sub(bits.ge(0).to(at::kInt)).bitwise_right_shift_(kBitsBelow).add_(kMagnitudes);
  const at::Tensor counted = at::bincount(buckets, {}, 2 * kMagnitudes).cpu();
  Figures all{.least = figure[0],
              .most = figure[1],
              .sum = figure[2],
              .sum_of_squares = figure[3],
              .counts = {}};
  std::copy_n(counted.const_data_ptr<std::int64_t>(), all.counts.size(), all.counts.begin());
  return all;
}

// The same in one pass over the host's memory, in a fraction of the time: a CPU's lane waits for
// it.
Figures FiguresOf(std::span<const float> numbers) {
  // Neighbours go into sums and tables of their own: one sum's additions wait for one another.
  constexpr std::size_t kWays = 8;
  std::array<float, kWays> least;
  std::array<float, kWays> most;
  std::array<double, kWays> sums{};
  std::array<double, kWays> squares{};
  least.fill(numbers[0]);
  most.fill(numbers[0]);
  std::vector<std::array<std::int64_t, 2 * kMagnitudes>> counts(kWays / 2);
  const auto add = [&](std::size_t way, float number) {
    least[way] = std::min(least[way], number);
    most[way] = std::max(most[way], number);
    const auto wide = static_cast<double>(number);
    sums[way] += wide;
    squares[way] += wide * wide;
    const auto bits = std::bit_cast<std::int32_t>(number);
    const std::int32_t bucket = ((bits - (bits >= 0 ? 1 : 0)) >> kBitsBelow) + kMagnitudes;
    ++counts[way / 2][static_cast<std::size_t>(bucket)];
  };
  std::size_t i = 0;
  for (; i + kWays <= numbers.size(); i += kWays) {
    for (std::size_t way = 0; way < kWays; ++way) add(way, numbers[i + way]);
  }
  for (; i < numbers.size(); ++i) add(0, numbers[i]);
  Figures all{.least = static_cast<double>(std::ranges::min(least)),
              .most = static_cast<double>(std::ranges::max(most)),
              .sum = std::accumulate(sums.begin(), sums.end(), 0.0),
              .sum_of_squares = std::accumulate(squares.begin(), squares.end(), 0.0),
              .counts = {}};
  for (const auto& table : counts) {
    std::ranges::transform(table, all.counts, all.counts.begin(), std::plus<>());
  }
  return all;
}

}  // namespace

std::optional<ValueHistogram> CountValues(const at::Tensor& values) {
  if (values.numel() == 0) return {};
  const c10::NoGradGuard no_gradients;
  const at::Tensor numbers = values.detach().to(at::kFloat);
  const bool is_one_piece = numbers.is_cpu() && numbers.is_non_overlapping_and_dense();
  const Figures all = is_one_piece ? FiguresOf(std::span(numbers.const_data_ptr<float>(),
                                                         static_cast<std::size_t>(numbers.numel())))
                                   : FiguresOf(numbers.reshape({-1}));
  // std::min and std::max may pass over a NaN, sums do not.
  if (!std::isfinite(all.least) || !std::isfinite(all.most) || !std::isfinite(all.sum)) return {};
  const auto count = [&all](std::int64_t bucket) {
    return static_cast<double>(all.counts[static_cast<std::size_t>(bucket)]);
  };

  ValueHistogram histogram{.min = all.least,
                           .max = all.most,
                           .sum = all.sum,
                           .sum_of_squares = all.sum_of_squares,
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
