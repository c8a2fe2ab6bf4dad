#include "base/histogram.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace millrace {

std::size_t Histogram::IndexOf(std::uint64_t value) {
  if (value < 4) return value;
  // The leading bit says which doubling, the two behind it which quarter of it.
  const auto shift = static_cast<unsigned>(std::bit_width(value)) - 3;
  return 4 * std::size_t{shift} + (value >> shift);
}

std::uint64_t Histogram::FirstOf(std::size_t index) {
  if (index < 4) return index;
  return std::uint64_t{4 + index % 4} << (index / 4 - 1);
}

std::vector<Histogram::Bin> Histogram::bins() const {
  const auto is_used = [](std::uint64_t count) { return count > 0; };
  const auto begin = std::find_if(counts_.begin(), counts_.end(), is_used);
  const auto end = std::find_if(counts_.rbegin(), counts_.rend(), is_used).base();
  std::vector<Bin> bins;
  for (auto at = begin; at < end; ++at) {
    const auto index = static_cast<std::size_t>(at - counts_.begin());
    const std::uint64_t last =
        index + 1 < kNumBins ? FirstOf(index + 1) - 1 : std::numeric_limits<std::uint64_t>::max();
    bins.push_back({.first = FirstOf(index), .last = last, .count = *at});
  }
  return bins;
}

}  // namespace millrace
