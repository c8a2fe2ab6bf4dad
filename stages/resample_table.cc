#include "stages/resample_table.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "base/check.h"

namespace millrace::stages {

namespace {

// The filter laid over the source for one output pixel; names as in Resample.c.
struct Footprint {
  double center;
  int first;  // xmin
  int taps;   // xmax - xmin
};

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
  int most_taps = 1;
  for (int i = 0; i < axis.count; ++i) {
    most_taps = std::max(most_taps, filter.At(axis, axis.begin + i).taps);
  }
  pairs_ = (most_taps + 1) / 2;
  const auto pairs = static_cast<std::size_t>(pairs_);
  pairs_of_.assign(padded * pairs, TapPair{0, 0});
  weights_.resize(static_cast<std::size_t>(most_taps));
  for (int i = 0; i < axis.count; ++i) {
    const Footprint print = filter.At(axis, axis.begin + i);
    const auto place = static_cast<std::size_t>(axis.flip ? axis.count - 1 - i : i);
    // Kernels read all pairs, also of outputs with fewer taps. At the end of the source these start
    // earlier, with zeros in front, so that nothing is read behind it.
    const int first = print.first - source.begin;
    const int zeros = std::clamp(first + 2 * pairs_ - source.count, 0, first);
    first_[place] = first - zeros;
    taps_[place] = print.taps + zeros;
    double sum = 0.0;
    for (int tap = 0; tap < print.taps; ++tap) {
      const double distance =
          std::abs((tap + print.first - print.center + 0.5) * filter.inverse_width);
      const double weight = distance < 1.0 ? 1.0 - distance : 0.0;
      weights_[static_cast<std::size_t>(tap)] = weight;
      sum += weight;
    }
    TapPair* out = pairs_of_.data() + place * pairs;
    for (int tap = 0; tap < print.taps; ++tap) {
      double weight = weights_[static_cast<std::size_t>(tap)];
      if (sum != 0.0) weight /= sum;
      const int coefficient = static_cast<int>(0.5 + weight * (1 << kCoefficientBits));
      TapPair& pair = out[(tap + zeros) / 2];
      const int shift = (tap + zeros) % 2 * 16;
      pair.high |= (coefficient >> kLowBits) << shift;
      pair.low |= (coefficient & ((1 << kLowBits) - 1)) << shift;
    }
  }
}

}  // namespace millrace::stages
