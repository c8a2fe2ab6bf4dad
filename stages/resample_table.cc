#include "stages/resample_table.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "stages/resample_table.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first.
#include <hwy/highway.h>

#ifndef MILLRACE_STAGES_RESAMPLE_TABLE_CC_
#define MILLRACE_STAGES_RESAMPLE_TABLE_CC_
namespace millrace::stages {

// Outputs whose coefficients are made together.
inline constexpr int kTogether = 8;

}  // namespace millrace::stages
#endif  // MILLRACE_STAGES_RESAMPLE_TABLE_CC_

HWY_BEFORE_NAMESPACE();
namespace millrace::stages::HWY_NAMESPACE {
namespace {

// Of each output so many coefficients, tap after tap those of kTogether outputs side by side;
// behind an output's own they are 0. The operations on each, and their order, are those of
// Resample.c, in loops that the compiler makes vectors of.
void Coefficients(double inverse_width, const Footprint* prints, int taps, double* weights,
                  std::int32_t* coefficients) {
  // Whole numbers too, so that all are of one width; nothing branches.
  double centers[kTogether];
  double firsts[kTogether];
  double own_taps[kTogether];
  double sums[kTogether];
  for (int i = 0; i < kTogether; ++i) {
    centers[i] = prints[i].center;
    firsts[i] = prints[i].first;
    own_taps[i] = prints[i].taps;
    sums[i] = 0.0;
  }
  for (int tap = 0; tap < taps; ++tap) {
    const double number = tap;
    double* const of_tap = weights + tap * kTogether;
    for (int i = 0; i < kTogether; ++i) {
      const double distance = std::abs((number + firsts[i] - centers[i] + 0.5) * inverse_width);
      const double weight = std::max(0.0, 1.0 - distance);
      of_tap[i] = number < own_taps[i] ? weight : 0.0;
      sums[i] += of_tap[i];
    }
  }
  for (double& sum : sums) sum = sum == 0.0 ? 1.0 : sum;
  for (int tap = 0; tap < taps; ++tap) {
    const double* const of_tap = weights + tap * kTogether;
    for (int i = 0; i < kTogether; ++i) {
      coefficients[tap * kTogether + i] =
          static_cast<std::int32_t>(0.5 + of_tap[i] / sums[i] * (1 << kCoefficientBits));
    }
  }
}

}  // namespace
}  // namespace millrace::stages::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace millrace::stages {

namespace {

struct Filter {
  double scale;          // source pixels per output pixel
  double inverse_width;  // 1 / max(scale, 1)
  double support;        // of the triangle, in source pixels

  explicit Filter(const Axis& axis) : scale(axis.length / axis.resized) {
    const double width = scale < 1.0 ? 1.0 : scale;
    inverse_width = 1.0 / width;
    support = 1.0 * width;
  }

  Footprint At(const Axis& axis, int output) const {
    const double center = axis.start + (output + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int end = std::min(axis.crop, static_cast<int>(center + support + 0.5));
    return {center, first, end - first};
  }
};

HWY_EXPORT(Coefficients);

}  // namespace

Run SourceRun(const Axis& axis) {
  const Filter filter(axis);
  const Footprint first = filter.At(axis, axis.begin);
  const Footprint last = filter.At(axis, axis.begin + axis.count - 1);
  return {first.first, last.first + last.taps - first.first};
}

void ResampleTable::Build(const Axis& axis) {
  MILLRACE_CHECK(axis.crop > 0 && axis.begin >= 0 && axis.count > 0 &&
                 axis.begin + axis.count <= axis.resized);
  if (axis == axis_) return;
  axis_ = axis;
  const Filter filter(axis);
  const auto padded = (static_cast<std::size_t>(axis.count) + 3) / 4 * 4;
  first_.assign(padded, 0);
  taps_.assign(padded, 0);
  const Run source = SourceRun(axis);
  prints_.resize((static_cast<std::size_t>(axis.count) + kTogether - 1) / kTogether * kTogether);
  int most_taps = 1;
  for (int i = 0; i < axis.count; ++i) {
    const Footprint print = filter.At(axis, axis.begin + i);
    prints_[static_cast<std::size_t>(i)] = print;
    most_taps = std::max(most_taps, print.taps);
  }
  pairs_ = (most_taps + 1) / 2;
  pairs_of_.assign(padded * static_cast<std::size_t>(pairs_), TapPair{0, 0});
  weights_.resize(static_cast<std::size_t>(2 * pairs_ * kTogether));
  coefficients_.resize(weights_.size());
  for (int begin = 0; begin < axis.count; begin += kTogether) {
    HWY_DYNAMIC_DISPATCH(Coefficients)
    (filter.inverse_width, prints_.data() + begin, 2 * pairs_, weights_.data(),
     coefficients_.data());
    for (int i = 0; i < std::min(kTogether, axis.count - begin); ++i) {
      const int output = axis.flip ? axis.count - 1 - (begin + i) : begin + i;
      const Footprint& print = prints_[static_cast<std::size_t>(begin + i)];
      Place(output, print.first - source.begin, print.taps, source.count, coefficients_.data() + i);
    }
  }
}

// Kernels read all pairs, also of outputs with fewer taps. At the end of the source these start
// earlier, with zeros in front, so that nothing is read behind it.
void ResampleTable::Place(int output, int first, int taps, int source_pixels,
                          const std::int32_t* coefficients) {
  const int zeros = std::clamp(first + 2 * pairs_ - source_pixels, 0, first);
  const auto place = static_cast<std::size_t>(output);
  first_[place] = first - zeros;
  taps_[place] = taps + zeros;
  const auto at = [&](int tap) {
    return tap < zeros ? 0 : coefficients[(tap - zeros) * kTogether];
  };
  TapPair* out = pairs_of_.data() + place * static_cast<std::size_t>(pairs_);
  for (int tap = 0; tap < 2 * pairs_; tap += 2, ++out) {
    constexpr std::int32_t kLow = (1 << kLowBits) - 1;
    const std::int32_t left = at(tap);
    const std::int32_t right = at(tap + 1);
    *out = {.high = left >> kLowBits | right >> kLowBits << 16,
            .low = (left & kLow) | (right & kLow) << 16};
  }
}

}  // namespace millrace::stages
#endif  // HWY_ONCE
