// Turns what calls of the CUDA runtime return into Error.
#pragma once

#include <cuda_runtime_api.h>

#include <string_view>

namespace millrace {

// Throws Error "<what>: <what CUDA says> (<name of the error>)" unless `result` is success.
void RequireCuda(cudaError_t result, std::string_view what);

}  // namespace millrace
