// Which residual branches of a batch are left out in training (Huang et al. 2016,
// arXiv:1603.09382).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace millrace::model {

// A factor for each sample and block, float32 [samples, blocks] on the CPU: 0 where the block's
// branch is left out for this sample, otherwise one over the share of samples that keep it
// (torchvision's StochasticDepth with mode "row"). The chance to be left out rises from 0 at the
// first block to `rate` at the last, in equal steps, as in timm's ResNets. Each sample's factors
// are a function of (seed, epoch, sample id) alone, so that neither devices nor history enter.
// REQUIRES: 0 <= rate < 1, blocks >= 2
at::Tensor DrawDepth(double rate, std::int64_t blocks, std::uint64_t seed, std::uint32_t epoch,
                     std::span<const std::uint64_t> sample_ids);

}  // namespace millrace::model
