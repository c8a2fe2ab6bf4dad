#include "base/spread.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace millrace {

Spread SpreadOf(std::span<const double> numbers) {
  MILLRACE_CHECK(!numbers.empty());
  const auto count = static_cast<double>(numbers.size());
  const auto [min, max] = std::minmax_element(numbers.begin(), numbers.end());
  Spread spread{.count = numbers.size(),
                .mean = std::accumulate(numbers.begin(), numbers.end(), 0.0) / count,
                .deviation = {},
                .min = *min,
                .max = *max};
  if (numbers.size() == 1) return spread;
  double squares = 0;
  for (const double number : numbers) squares += std::pow(number - spread.mean, 2);
  spread.deviation = std::sqrt(squares / (count - 1));
  return spread;
}

}  // namespace millrace
