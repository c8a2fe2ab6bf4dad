// Which sample stands at which position of an epoch: a pure function of (size, seed, epoch,
// position).
#pragma once

#include <cstdint>
#include <vector>

#include "base/permutation.h"

namespace millrace::pipeline {

enum class Shuffle : std::uint8_t {
  kFull,  // every epoch another permutation of the whole split
  // Every epoch another permutation of blocks of neighbouring samples, and of the samples within
  // windows of some blocks: for splits larger than memory, which are then read block by block.
  kBlocks,
  kNone,  // as stored
};

// Samples that lie side by side.
struct SampleRun {
  std::uint64_t first = 0;
  std::uint64_t count = 0;

  bool operator==(const SampleRun&) const = default;
};

// The order of one epoch. Immutable; any number of threads may use one object.
class SampleOrder {
 public:
  // Of Shuffle::kBlocks. A block of ImageNet is 28 MB, which any disk reads at its full rate; a
  // window 0.9 GB, two of which are in memory at a time. As records are dealt to shards in a random
  // order, a window holds samples of all classes.
  static constexpr std::uint64_t kBlockSamples = 256;
  static constexpr std::uint64_t kWindowBlocks = 32;

  SampleOrder(std::uint64_t num_samples, Shuffle shuffle, std::uint64_t seed, std::uint32_t epoch);

  // The sample at `position`. REQUIRES: position < num_samples
  std::uint64_t At(std::uint64_t position) const;

  // What should be on its way from the disk when `position` is planned, beside the sample itself: a
  // window ahead, block by block. Most positions have nothing.
  std::vector<SampleRun> ReadAhead(std::uint64_t position) const;

 private:
  // Of blocks in this epoch's order, where each begins and what it holds.
  std::uint64_t BlockBegin(std::uint64_t place) const;
  SampleRun Block(std::uint64_t place) const;
  std::uint64_t WindowOf(std::uint64_t position) const;
  std::uint64_t WindowBegin(std::uint64_t window) const;

  std::uint64_t num_samples_;
  Shuffle shuffle_;
  std::uint64_t key_;
  Permutation permutation_;          // of samples, or of blocks
  std::uint64_t place_of_last_ = 0;  // where the last block comes, which may be shorter
};

}  // namespace millrace::pipeline
