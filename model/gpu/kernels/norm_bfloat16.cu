// Batch normalisation of numbers in bfloat16.
#include "element.inl"

namespace millrace::model::gpu {
using Element = Bfloat16;
}

#include "norm_kernels.inl"
