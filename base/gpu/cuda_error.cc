#include "base/gpu/cuda_error.h"

#include "base/error.h"

namespace millrace {

void RequireCuda(cudaError_t result, std::string_view what) {
  if (result == cudaSuccess) return;
  // Most errors stay the last one until somebody asks, and would be blamed on another call.
  (void)cudaGetLastError();
  Fail("{}: {} ({})", what, cudaGetErrorString(result), cudaGetErrorName(result));
}

}  // namespace millrace
