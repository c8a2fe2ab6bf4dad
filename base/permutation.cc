#include "base/permutation.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace millrace {
namespace {

// SplitMix64's finaliser (Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
// OOPSLA 2014).
std::uint64_t Mix(std::uint64_t x) {
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9u;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

Permutation::Permutation(std::uint64_t size, std::uint64_t key) : size_(size) {
  MILLRACE_CHECK(size <= (std::uint64_t{1} << 62));
  const auto bits = static_cast<unsigned>(std::bit_width(size > 1 ? size - 1 : 1));
  half_bits_ = std::max(1u, (bits + 1) / 2);
  half_mask_ = (std::uint64_t{1} << half_bits_) - 1;
  for (int round = 0; round < kRounds; ++round) {
    key += 0x9E3779B97F4A7C15u;  // SplitMix64's increment
    round_keys_[static_cast<std::size_t>(round)] = Mix(key);
  }
}

std::uint64_t Permutation::operator()(std::uint64_t index) const {
  MILLRACE_CHECK(index < size_);
  do {
    index = Encrypt(index);
  } while (index >= size_);
  return index;
}

std::uint64_t Permutation::Encrypt(std::uint64_t block) const {
  std::uint64_t left = block >> half_bits_;
  std::uint64_t right = block & half_mask_;
  for (const std::uint64_t round_key : round_keys_) {
    const std::uint64_t next = left ^ (Mix(right ^ round_key) & half_mask_);
    left = right;
    right = next;
  }
  return (left << half_bits_) | right;
}

}  // namespace millrace
