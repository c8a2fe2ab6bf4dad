#include "pipeline/sample_order.h"

#include <algorithm>

#include "base/check.h"
#include "base/random.h"

namespace millrace::pipeline {
namespace {

// A permutation key per (seed, epoch). The counter word 0xFFFFFFFF is never an op's, so that the
// order shares no random bits with any augmentation.
std::uint64_t OrderKey(std::uint64_t seed, std::uint32_t epoch) {
  const auto block =
      Philox4x32({0xFFFFFFFFu, epoch, 0, 0},
                 {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return (std::uint64_t{block[0]} << 32) | block[1];
}

std::uint64_t WindowKey(std::uint64_t order_key, std::uint64_t window) {
  const auto block = Philox4x32(
      {static_cast<std::uint32_t>(window), 0, 0, 0},
      {static_cast<std::uint32_t>(order_key), static_cast<std::uint32_t>(order_key >> 32)});
  return (std::uint64_t{block[0]} << 32) | block[1];
}

std::uint64_t NumBlocks(std::uint64_t num_samples) {
  return (num_samples + SampleOrder::kBlockSamples - 1) / SampleOrder::kBlockSamples;
}

}  // namespace

CopiedPosition CopyAt(std::uint64_t position, std::uint64_t global_batch, std::uint32_t copies) {
  if (copies == 1) return {.position = position, .copy = 0};
  MILLRACE_CHECK(global_batch > 0 && global_batch % copies == 0);
  const std::uint64_t samples = global_batch / copies;
  const std::uint64_t within = position % global_batch;
  return {.position = position / global_batch * samples + within % samples,
          .copy = static_cast<std::uint32_t>(within / samples)};
}

SampleOrder::SampleOrder(std::uint64_t num_samples, Shuffle shuffle, std::uint64_t seed,
                         std::uint32_t epoch)
    : num_samples_(num_samples),
      shuffle_(shuffle),
      key_(OrderKey(seed, epoch)),
      permutation_(shuffle == Shuffle::kBlocks ? NumBlocks(num_samples) : num_samples, key_) {
  if (shuffle != Shuffle::kBlocks || num_samples == 0) return;
  while (permutation_(place_of_last_) != permutation_.size() - 1) ++place_of_last_;
}

std::uint64_t SampleOrder::BlockBegin(std::uint64_t place) const {
  const std::uint64_t missing = permutation_.size() * kBlockSamples - num_samples_;
  return place * kBlockSamples - (place > place_of_last_ ? missing : 0);
}

SampleRun SampleOrder::Block(std::uint64_t place) const {
  return {permutation_(place) * kBlockSamples, BlockBegin(place + 1) - BlockBegin(place)};
}

std::uint64_t SampleOrder::WindowBegin(std::uint64_t window) const {
  return BlockBegin(std::min(window * kWindowBlocks, permutation_.size()));
}

std::uint64_t SampleOrder::WindowOf(std::uint64_t position) const {
  // Behind the shorter block all windows begin by less than a block earlier.
  const std::uint64_t window = position / (kWindowBlocks * kBlockSamples);
  return position < WindowBegin(window + 1) ? window : window + 1;
}

std::uint64_t SampleOrder::At(std::uint64_t position) const {
  if (shuffle_ == Shuffle::kNone) return position;
  if (shuffle_ == Shuffle::kFull) return permutation_(position);
  const std::uint64_t window = WindowOf(position);
  const std::uint64_t begin = WindowBegin(window);
  const Permutation within(WindowBegin(window + 1) - begin, WindowKey(key_, window));
  const std::uint64_t mixed = begin + within(position - begin);
  const std::uint64_t guess = mixed / kBlockSamples;
  const std::uint64_t place = mixed < BlockBegin(guess + 1) ? guess : guess + 1;
  return Block(place).first + (mixed - BlockBegin(place));
}

std::vector<SampleRun> SampleOrder::WindowBlocks(std::uint64_t window) const {
  std::vector<SampleRun> blocks;
  const std::uint64_t end = std::min((window + 1) * kWindowBlocks, permutation_.size());
  for (std::uint64_t place = window * kWindowBlocks; place < end; ++place) {
    blocks.push_back(Block(place));
  }
  return blocks;
}

std::vector<SampleRun> SampleOrder::ReadAhead(std::uint64_t position,
                                              const SampleOrder& next) const {
  if (shuffle_ != Shuffle::kBlocks) return {};
  std::vector<SampleRun> runs;
  const std::uint64_t blocks = permutation_.size();
  if (position == 0) runs = WindowBlocks(0);
  const std::uint64_t window = WindowOf(position);
  const std::uint64_t offset = position - WindowBegin(window);
  if (offset % kBlockSamples != 0) return runs;
  const std::uint64_t block = offset / kBlockSamples;
  const std::uint64_t place = (window + 1) * kWindowBlocks + block;
  if (place < blocks) {
    runs.push_back(Block(place));
  } else if (block < std::min(kWindowBlocks, next.permutation_.size())) {
    runs.push_back(next.Block(block));
  }
  return runs;
}

}  // namespace millrace::pipeline
