// Which sample stands at which position of an epoch: a pure function of (size, seed, epoch,
// position).
#pragma once

#include <cstdint>

#include "base/permutation.h"

namespace millrace::pipeline {

enum class Shuffle : std::uint8_t {
  kFull,  // every epoch another permutation of the whole split
  kNone,  // as stored
};

// The order of one epoch. Immutable; any number of threads may use one object.
class SampleOrder {
 public:
  SampleOrder(std::uint64_t num_samples, Shuffle shuffle, std::uint64_t seed, std::uint32_t epoch);

  // The sample at `position`. REQUIRES: position < num_samples
  std::uint64_t At(std::uint64_t position) const {
    return shuffle_ == Shuffle::kNone ? position : permutation_(position);
  }

 private:
  Shuffle shuffle_;
  Permutation permutation_;
};

}  // namespace millrace::pipeline
