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

// A position of the order, and which of the copies of its sample.
struct CopiedPosition {
  std::uint64_t position = 0;
  std::uint32_t copy = 0;

  bool operator==(const CopiedPosition&) const = default;
};

// What stands at `position` of an epoch in which each global batch holds `copies` of each of its
// samples (repeated augmentation: Hoffer et al., arXiv:1901.09335; Berman et al.,
// arXiv:1902.05509). First all samples once, then all of them again: neighbours differ, and so do
// the samples of a device whose batch is not larger than that. Steps take the order's positions one
// after the other, a `copies`-th of them in an epoch that has as many steps as without copies: as
// RASampler in torchvision's references/classification. REQUIRES: global_batch is a multiple of
// copies
CopiedPosition CopyAt(std::uint64_t position, std::uint64_t global_batch, std::uint32_t copies);

// Samples that lie side by side.
struct SampleRun {
  std::uint64_t first = 0;
  std::uint64_t count = 0;

  bool operator==(const SampleRun&) const = default;
};

// The order of one epoch. Immutable; any number of threads may use one object.
class SampleOrder {
 public:
  // Of Shuffle::kBlocks. A block of ImageNet is 3.5 MB, which solid-state disks and network file
  // systems read at their full rate; a window 110 MB. Two windows are in memory at a time, of which
  // a small machine or container has enough beside a training run. As records are dealt to shards
  // in a random order, a window is a random sample of the split, and samples that share a block
  // meet in few batches: of a batch's other samples one in 32 comes from the same block.
  static constexpr std::uint64_t kBlockSamples = 32;
  static constexpr std::uint64_t kWindowBlocks = 32;

  SampleOrder(std::uint64_t num_samples, Shuffle shuffle, std::uint64_t seed, std::uint32_t epoch);

  // The sample at `position`. REQUIRES: position < num_samples
  std::uint64_t At(std::uint64_t position) const;

  // What should be on its way from the disk when `position` is planned, beside the sample itself: a
  // window ahead, block by block, and in the last window the first blocks of `next`, the following
  // epoch's order. Most positions have nothing; the first one has its whole window, in case that
  // nobody asked for it in an epoch before. REQUIRES: position < num_samples
  std::vector<SampleRun> ReadAhead(std::uint64_t position, const SampleOrder& next) const;

  // Of Shuffle::kBlocks: the window that `position` is in, counted from the beginning of the epoch,
  // its first position, and what it holds. REQUIRES: position < num_samples
  std::uint64_t WindowOf(std::uint64_t position) const;
  std::uint64_t WindowBegin(std::uint64_t window) const;
  std::vector<SampleRun> WindowBlocks(std::uint64_t window) const;

 private:
  // Of blocks in this epoch's order, where each begins and what it holds.
  std::uint64_t BlockBegin(std::uint64_t place) const;
  SampleRun Block(std::uint64_t place) const;

  std::uint64_t num_samples_;
  Shuffle shuffle_;
  std::uint64_t key_;
  Permutation permutation_;          // of samples, or of blocks
  std::uint64_t place_of_last_ = 0;  // where the last block comes, which may be shorter
};

}  // namespace millrace::pipeline
