#include "stages/linear_table.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "base/check.h"

namespace millrace::stages {
namespace {

constexpr float kOne = 1 << kLinearBits;

std::int16_t Weight(float share) { return static_cast<std::int16_t>(std::lrint(share * kOne)); }

// The tap of an output of the whole axis, its pixels counted from the start of the crop.
LinearTap TapAt(const Axis& axis, int output, LinearEnds ends) {
  // The reciprocal of a quotient, as OpenCV computes it: not the same as crop / resized.
  const double scale = 1.0 / (static_cast<double>(axis.resized) / axis.crop);
  float share = static_cast<float>((output + 0.5) * scale - 0.5);
  int first = static_cast<int>(std::floor(share));
  share -= static_cast<float>(first);
  if (ends == LinearEnds::kOfRow && (first < 0 || first >= axis.crop - 1)) {
    share = 0;
    first = std::clamp(first, 0, axis.crop - 1);
  }
  return {.first = std::clamp(first, 0, axis.crop - 1),
          .second = std::clamp(first + 1, 0, axis.crop - 1),
          .first_weight = Weight(1.0F - share),
          .second_weight = Weight(share)};
}

}  // namespace

Run LinearRun(const Axis& axis) {
  const LinearTap first = TapAt(axis, axis.begin, LinearEnds::kOfColumn);
  const LinearTap last = TapAt(axis, axis.begin + axis.count - 1, LinearEnds::kOfColumn);
  return {first.first, last.second + 1 - first.first};
}

void LinearTable::Build(const Axis& axis) {
  MILLRACE_CHECK(axis.crop > 0 && axis.begin >= 0 && axis.count > 0 &&
                 axis.begin + axis.count <= axis.resized);
  if (axis == axis_) return;
  axis_ = axis;
  taps_.assign((static_cast<std::size_t>(axis.count) + 1) / 2 * 2, {});
  const int begin = LinearRun(axis).begin;
  for (int i = 0; i < axis.count; ++i) {
    LinearTap tap = TapAt(axis, axis.begin + i, ends_);
    tap.first -= begin;
    tap.second -= begin;
    taps_[static_cast<std::size_t>(axis.flip ? axis.count - 1 - i : i)] = tap;
  }
}

}  // namespace millrace::stages
