// How the values of a tensor are distributed, for people to look at.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

namespace millrace::model {

// counts[i] values are in (limits[i - 1], limits[i]].
struct ValueHistogram {
  double min = 0;
  double max = 0;
  double sum = 0;
  double sum_of_squares = 0;
  std::vector<double> limits;
  std::vector<double> counts;
};

// Counts the values of a float tensor on its device; a few kilobytes come back. Four limits to an
// octave on both sides of zero, which has a bucket of its own; empty buckets side by side are one.
// Nothing where a value is not finite, or there is none.
std::optional<ValueHistogram> CountValues(const at::Tensor& values);

}  // namespace millrace::model
