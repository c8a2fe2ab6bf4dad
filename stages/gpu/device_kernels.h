// The text of all kernels that millrace brings along, stages/gpu/kernels.
#pragma once

#include <span>

#include "base/gpu/kernel_source.h"

namespace millrace::stages::gpu {

// Each file under its own name; decode.cu and normalize.cu are what KernelModule takes.
std::span<const KernelSource> DeviceKernels();

}  // namespace millrace::stages::gpu
