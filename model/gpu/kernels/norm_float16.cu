// Batch normalisation of numbers in float16.
#include "element.inl"

namespace millrace::model::gpu {
using Element = Float16;
}

#include "norm_kernels.inl"
