// Adam with decoupled weight decay.
#pragma once

#include <memory>
#include <span>

#include "model/optimizer.h"

namespace millrace::model {

// torch.optim.AdamW (Loshchilov and Hutter, arXiv:1711.05101), by its fused kernels. Keys: `betas`
// ([0.9, 0.999]), `eps` (1e-8). Throws Error (exit code 2) for a wrong value.
std::unique_ptr<Optimizer> MakeAdamW(const Params& section, std::span<const NamedTensor> parameters,
                                     const OptimizerSettings& common);

}  // namespace millrace::model
