// Which instruction sets the SIMD kernels can run on here, and a switch between them for tests and
// benchmarks.
#pragma once

#include <string>
#include <vector>

namespace millrace::stages {

// Highway's names ("AVX3_DL", "AVX2", "SSE4", ...) of the instruction sets that this processor has
// and the kernels are compiled for; the one that runs by itself comes first.
std::vector<std::string> SimdTargets();

// Whether the best of them has vectors.
bool HasSimd();

// From now on kernels run on `target`, one of SimdTargets(); "" means the best again. Applies to
// the whole process. For tests and benchmarks only: not while kernels run.
void UseSimdTarget(const std::string& target);

}  // namespace millrace::stages
