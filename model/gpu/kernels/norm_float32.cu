// Batch normalisation of numbers in float32.
#include "element.inl"

namespace millrace::model::gpu {
using Element = float;
}

#include "norm_kernels.inl"
