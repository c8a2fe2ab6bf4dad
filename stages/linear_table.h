// Which two source pixels make each pixel of a linearly resized axis, and by how much: OpenCV's
// fixed-point weights.
//
// Source: cv::resize with INTER_LINEAR on 8-bit pixels (OpenCV 4 and 5,
// modules/imgproc/src/resize.cpp: xofs, ialpha, yofs and ibeta of resizeGeneric). A pixel lies at
// (output + 0.5) x scale - 0.5 whatever the scale: nothing is averaged when a picture shrinks.
#pragma once

#include <cstdint>
#include <vector>

#include "stages/axis.h"

namespace millrace::stages {

// 2^kLinearBits is a weight of 1.
inline constexpr int kLinearBits = 11;

// Two neighbours and their weights.
struct LinearTap {
  int first = 0;   // source pixels, counted from the start of LinearRun(axis)
  int second = 0;  // first or the one behind it
  std::int16_t first_weight = 0;
  std::int16_t second_weight = 0;
};

// How OpenCV treats the pixels beyond both ends, which are copies of the last ones: along x their
// weight goes to the last pixel, along y they keep it. The sums are rounded differently.
enum class LinearEnds : std::uint8_t { kOfRow, kOfColumn };

// The pixels of the crop that the kept ones depend on. REQUIRES: count > 0
Run LinearRun(const Axis& axis);

// The taps of one axis. Reused: Build() allocates only to grow.
class LinearTable {
 public:
  explicit LinearTable(LinearEnds ends) : ends_(ends) {}

  // REQUIRES: axis.count > 0, inside the resized axis
  void Build(const Axis& axis);

  int outputs() const { return axis_.count; }
  // Outputs are rounded up to a multiple of 2 with one that has no weight.
  int padded_outputs() const { return static_cast<int>(taps_.size()); }
  const LinearTap& tap(int output) const { return taps_[static_cast<std::size_t>(output)]; }

 private:
  const LinearEnds ends_;
  Axis axis_;
  std::vector<LinearTap> taps_;
};

}  // namespace millrace::stages
