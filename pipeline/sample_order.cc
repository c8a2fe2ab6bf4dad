#include "pipeline/sample_order.h"

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

}  // namespace

SampleOrder::SampleOrder(std::uint64_t num_samples, Shuffle shuffle, std::uint64_t seed,
                         std::uint32_t epoch)
    : shuffle_(shuffle), permutation_(num_samples, OrderKey(seed, epoch)) {}

}  // namespace millrace::pipeline
