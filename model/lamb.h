// Adam whose rate each layer sets by the length of its weights and update, for large batches.
#pragma once

#include <memory>
#include <span>

#include "model/optimizer.h"

namespace millrace::model {

// LAMB (You et al. 2019, arXiv:1904.00962) as timm's Lamb has it, which follows NVIDIA's
// apex.optimizers.FusedLAMB: Adam's update with bias correction, weight decay added to it, scaled
// by |w| / |update| of each parameter; parameters without weight decay (decay_norm_and_bias =
// false: normalisations and biases) are not scaled, nor is where one of the two is 0. Clips
// nothing by itself: timm's max_grad_norm = 1 is clip_norm = 1. Keys: `betas` ([0.9, 0.999]), `eps`
// (1e-6), `trust_clip` (false; true: nothing is scaled up). Throws Error (exit code 2) for a wrong
// value, and without weight decay, when it would be Adam.
std::unique_ptr<Optimizer> MakeLamb(const Params& section, std::span<const NamedTensor> parameters,
                                    const OptimizerSettings& common);

}  // namespace millrace::model
