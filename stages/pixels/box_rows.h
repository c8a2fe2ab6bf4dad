// The two steps of a box filter over whole rows, in vectors.
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace::stages {

// Weights of the pixels of a box, and of one more on either side. [1 / 2^24]
struct BoxWeights {
  std::uint32_t whole;
  std::uint32_t part;
};

// sums += added - removed, of `count` values; `removed` may be nullptr.
void SlideBox(const std::uint8_t* added, const std::uint8_t* removed, std::size_t count,
              std::uint32_t* sums);

// The mean of each box, halves up: `sums` are of the pixels within, `before` and `after` those next
// to it. `out` may be neither of these. REQUIRES: weights of all pixels together at most 1
void WeighBox(const BoxWeights& weights, const std::uint32_t* sums, const std::uint8_t* before,
              const std::uint8_t* after, std::size_t count, std::uint8_t* out);

}  // namespace millrace::stages
