#include "base/wilson_interval.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace millrace {

Interval WilsonInterval(std::int64_t hits, std::int64_t trials) {
  MILLRACE_CHECK(hits >= 0 && hits <= trials);
  if (trials == 0) return {.low = 0, .high = 1};
  constexpr double kZ = 1.959963984540054;  // the normal distribution's 97.5 % quantile
  constexpr double kSquare = kZ * kZ;
  const auto n = static_cast<double>(trials);
  const double rate = static_cast<double>(hits) / n;
  const double middle = (rate + kSquare / (2 * n)) / (1 + kSquare / n);
  const double half =
      kZ / (1 + kSquare / n) * std::sqrt(rate * (1 - rate) / n + kSquare / (4 * n * n));
  // At the ends the formula gives 0 and 1 but for the last bit.
  return {.low = hits == 0 ? 0 : std::max(0.0, middle - half),
          .high = hits == trials ? 1 : std::min(1.0, middle + half)};
}

}  // namespace millrace
