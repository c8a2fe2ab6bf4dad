// Steady time for measuring; wall time never enters a measurement.
#pragma once

#include <chrono>
#include <cstdint>

namespace millrace {

// Nanoseconds on a clock that never goes back; its zero means nothing.
inline std::int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

inline double NsToSeconds(std::int64_t ns) { return static_cast<double>(ns) * 1e-9; }

}  // namespace millrace
