// How often values of which size occur, in a few hundred counters however many values there are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace {

// Four bins per doubling, the first of them at the power of two: 4, 5, 6, 7, 8-9, 10-11, 12-13,
// 14-15, 16-19, ... One thread at a time.
class Histogram {
 public:
  struct Bin {
    std::uint64_t first = 0;  // the smallest value that falls into it
    std::uint64_t last = 0;   // the largest
    std::uint64_t count = 0;

    bool operator==(const Bin&) const = default;
  };

  void Add(std::uint64_t value) { ++counts_[IndexOf(value)]; }

  // From the first bin that holds something to the last one, empty ones between them included.
  std::vector<Bin> bins() const;

 private:
  static constexpr std::size_t kNumBins = 252;

  static std::size_t IndexOf(std::uint64_t value);
  static std::uint64_t FirstOf(std::size_t index);

  std::array<std::uint64_t, kNumBins> counts_{};
};

}  // namespace millrace
