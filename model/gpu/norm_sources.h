// The text of the kernels in model/gpu/kernels.
#pragma once

#include <span>

#include "base/gpu/kernel_source.h"

namespace millrace::model::gpu {

// Each file under its own name; norm_bfloat16.cu, norm_float16.cu and norm_float32.cu are what
// KernelModule takes.
std::span<const KernelSource> NormSources();

}  // namespace millrace::model::gpu
