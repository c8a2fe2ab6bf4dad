// How far a few numbers, such as the accuracies of runs with other seeds, lie apart.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace millrace {

struct Spread {
  std::size_t count = 0;
  double mean = 0;
  std::optional<double> deviation;  // of the sample, over count - 1; none of a single number
  double min = 0;
  double max = 0;
};

// REQUIRES: not empty
Spread SpreadOf(std::span<const double> numbers);

}  // namespace millrace
