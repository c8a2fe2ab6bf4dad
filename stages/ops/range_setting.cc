#include "stages/ops/range_setting.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace millrace::stages {

Range ReadRange(const Params& params, const char* key, double low, double high, Range fallback) {
  const std::vector<double> range =
      params.Numbers(key, std::vector<double>{fallback.low, fallback.high});
  if (range.size() != 2 || !(low <= range[0] && range[0] <= range[1] && range[1] <= high)) {
    params.Blame(key, fmt::format("must be two ascending numbers from {} to {}", low, high));
  }
  return {range[0], range[1]};
}

Range ReadRangeAround(const Params& params, const char* key, double center, double low, double high,
                      double fallback) {
  // Asked for as it is first, because a recipe may hold either.
  if (params.Has(key) && params.RawJson(key, "0").front() == '[') {
    return ReadRange(params, key, low, high, {});
  }
  const double distance = params.NumberIn(key, 0, high - center, fallback);
  return {std::max(center - distance, low), center + distance};
}

double ReadProbability(const Params& params, double fallback) {
  return params.NumberIn("p", 0, 1, fallback);
}

}  // namespace millrace::stages
