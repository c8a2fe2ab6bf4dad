// Stochastic gradient descent whose rate each layer sets by the length of its weights and gradient,
// for large batches.
#pragma once

#include <memory>
#include <span>

#include "model/optimizer.h"

namespace millrace::model {

// LARS (You et al. 2017, arXiv:1708.03888) as timm's Lars has it, which follows NVIDIA's
// apex.parallel.LARC: gradient and decay of each parameter are scaled by its trust ratio,
// trust_coefficient |w| / (|g| + weight_decay |w|), before momentum gathers them; parameters
// without weight decay (decay_norm_and_bias = false: normalisations and biases) are left to plain
// SGD, as is a parameter or gradient that is 0. Keys: those of sgd.h, `trust_coefficient` (0.001)
// and `trust_clip` (false; true: no layer's rate is above the schedule's, which is LARC). Throws
// Error (exit code 2) for a wrong value and without weight decay, when it would be SGD.
std::unique_ptr<Optimizer> MakeLars(const Params& section, std::span<const NamedTensor> parameters,
                                    const OptimizerSettings& common);

}  // namespace millrace::model
