#include "stages/ops/colour_setting.h"

#include <algorithm>
#include <vector>

namespace millrace::stages {

Colour ReadColour(const Params& params, const char* key, const Colour& fallback) {
  // Asked for as it is first, because a recipe may hold either.
  if (params.Has(key) && params.RawJson(key, "0").front() != '[') {
    const auto level = static_cast<std::uint8_t>(params.IntegerIn(key, 0, 255));
    return {level, level, level};
  }
  const std::vector<std::int64_t> levels =
      params.Integers(key, std::vector<std::int64_t>{fallback[0], fallback[1], fallback[2]});
  const auto is_level = [](std::int64_t level) { return 0 <= level && level <= 255; };
  if (levels.size() != kChannels || !std::all_of(levels.begin(), levels.end(), is_level)) {
    params.Blame(key, "must be a number from 0 to 255, or three of them: red, green and blue");
  }
  return {static_cast<std::uint8_t>(levels[0]), static_cast<std::uint8_t>(levels[1]),
          static_cast<std::uint8_t>(levels[2])};
}

}  // namespace millrace::stages
