// Which source pixels make each pixel of a resized axis, and by how much: Pillow's fixed-point
// coefficients.
//
// Source: precompute_coeffs and normalize_coeffs_8bpc of Pillow's src/libImaging/Resample.c with
// its bilinear (triangle) filter. A pixel is (2^21 + sum of coefficient x pixel) >> 22, with sums
// in 32 bits.
#pragma once

#include <cstdint>
#include <vector>

#include "stages/axis.h"

namespace millrace::stages {

// Bits of fraction in a coefficient; 2^kCoefficientBits is 1.
inline constexpr int kCoefficientBits = 22;

// A coefficient of 23 bits is cut into `coefficient >> kLowBits` and the rest, so that 16-bit
// multiply-and-add instructions take two neighbouring taps at once without losing a bit.
inline constexpr int kLowBits = 8;

// Two neighbouring taps as those instructions want them: the first in the lower 16 bits.
struct TapPair {
  std::int32_t high;  // coefficient >> kLowBits of both
  std::int32_t low;   // the remaining kLowBits of both
};

// The filter laid over the source for one output pixel; names as in Resample.c.
struct Footprint {
  double center;
  int first;  // xmin
  int taps;   // xmax - xmin
};

// The pixels of the crop that the kept ones depend on. REQUIRES: count > 0
Run SourceRun(const Axis& axis);

// The coefficients of one axis. Reused: Build() allocates only to grow.
class ResampleTable {
 public:
  // REQUIRES: axis.count > 0, inside the resized axis
  void Build(const Axis& axis);

  // Outputs are rounded up to a multiple of 4 with ones that have no weight, for kernels that make
  // four at a time.
  int padded_outputs() const { return static_cast<int>(first_.size()); }
  int outputs() const { return axis_.count; }
  // Pairs of taps of every output; shorter ones end in zeros.
  int pairs() const { return pairs_; }
  // The first source pixel of an output, counted from the start of SourceRun(axis).
  int first(int output) const { return first_[static_cast<std::size_t>(output)]; }
  // How many source pixels it has, weightless ones in front included. first + 2 x pairs lies at
  // most one pixel behind the source, and only where the source is as short as that.
  int taps(int output) const { return taps_[static_cast<std::size_t>(output)]; }
  const TapPair* coefficients(int output) const {
    return pairs_of_.data() + static_cast<std::size_t>(output) * static_cast<std::size_t>(pairs_);
  }

 private:
  // Keeps the coefficients of an output, which are some apart.
  void Place(int output, int first, int taps, int source_pixels, const std::int32_t* coefficients);

  Axis axis_;
  int pairs_ = 0;
  std::vector<int> first_;
  std::vector<int> taps_;
  std::vector<TapPair> pairs_of_;
  std::vector<Footprint> prints_;
  // Of the outputs that are being made.
  std::vector<double> weights_;
  std::vector<std::int32_t> coefficients_;
};

}  // namespace millrace::stages
