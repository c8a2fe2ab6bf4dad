// A sum that is the same in whatever order and parts its terms were added.
#pragma once

#include <cstdint>

namespace millrace::model {

// Adds terms as multiples of 2^-32, exactly. A term that is not finite, or above 2^20, makes the
// sum NaN, and so does a sum that leaves 2^31. One thread at a time.
struct ExactSum {
  std::int64_t units = 0;       // [2^-32]
  std::int64_t impossible = 0;  // terms that are not in `units`

  void Add(double term);
  void Merge(const ExactSum& other);
  double Value() const;

  bool operator==(const ExactSum&) const = default;
};

}  // namespace millrace::model
