// Counter-based random numbers: every draw is a pure function of (seed, epoch, sample id, op index,
// draw number), so that threads, devices and history cannot enter.
//
// Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC
// 2011; the constants are the paper's, the known answers of its reference implementation
// (Random123) are in the tests.
#pragma once

#include <array>
#include <cstdint>

namespace millrace {

// One block of Philox4x32-10: 128 random bits from a 128-bit counter and a 64-bit key.
constexpr std::array<std::uint32_t, 4> Philox4x32(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53;
  constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9;
  constexpr std::uint32_t kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

// The key of all draws for one sample in one epoch. Plain data; travels in messages.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  std::uint64_t sample_id = 0;
};

// The draws of one operation on one sample. Cheap to make; not shared between threads.
class RandomStream {
 public:
  // `op_index` is the operation's position in the recipe's list, below 65,536. A stream holds 2^18
  // draws.
  constexpr RandomStream(const RandomKey& key, std::uint32_t op_index)
      : key_{static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32)},
        counter_{op_index << kDrawBits, key.epoch, static_cast<std::uint32_t>(key.sample_id),
                 static_cast<std::uint32_t>(key.sample_id >> 32)} {}

  constexpr std::uint32_t Next() {
    if (used_ == 4) {
      block_ = Philox4x32(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return block_[used_++];
  }

  // Uniform in [0, 1), all 53 bits of a double.
  constexpr double Uniform() {
    const std::uint64_t high = Next() >> 5;
    const std::uint64_t low = Next() >> 6;
    return static_cast<double>((high << 26) | low) * 0x1.0p-53;
  }

  // Uniform in [low, high).
  constexpr double Uniform(double low, double high) { return low + (high - low) * Uniform(); }

  // Uniform integer in [0, bound), without bias (Lemire, "Fast random integer generation in an
  // interval", 2019). REQUIRES: bound > 0
  constexpr std::uint32_t Below(std::uint32_t bound) {
    std::uint64_t product = static_cast<std::uint64_t>(Next()) * bound;
    if (static_cast<std::uint32_t>(product) < bound) {
      const std::uint32_t threshold = (0u - bound) % bound;
      while (static_cast<std::uint32_t>(product) < threshold) {
        product = static_cast<std::uint64_t>(Next()) * bound;
      }
    }
    return static_cast<std::uint32_t>(product >> 32);
  }

 private:
  static constexpr unsigned kDrawBits =
      16;  // of the first counter word; the op index has the others

  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> block_{};
  unsigned used_ = 4;
};

}  // namespace millrace
