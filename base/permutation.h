// A pseudo-random permutation of 0..n-1 computed index by index, never stored: the sample order of
// an epoch.
#pragma once

#include <array>
#include <cstdint>

namespace millrace {

// A bijection on [0, size) chosen by `key`. A balanced Feistel network permutes the smallest
// even-width power of two that holds the size; an image outside the range is permuted again until
// it falls inside (cycle walking: Black and Rogaway, "Ciphers with arbitrary finite domains",
// CT-RSA 2002), which takes fewer than 4 steps on average. Immutable after construction: any number
// of threads may use one object.
class Permutation {
 public:
  // REQUIRES: size <= 2^62. Size 0 is allowed and has no valid index.
  Permutation(std::uint64_t size, std::uint64_t key);

  // The image of `index`. REQUIRES: index < size()
  std::uint64_t operator()(std::uint64_t index) const;

  std::uint64_t size() const { return size_; }

 private:
  static constexpr int kRounds = 8;

  std::uint64_t Encrypt(std::uint64_t block) const;

  std::uint64_t size_;
  unsigned half_bits_;  // each Feistel half has so many bits
  std::uint64_t half_mask_;
  std::array<std::uint64_t, kRounds> round_keys_{};
};

}  // namespace millrace
