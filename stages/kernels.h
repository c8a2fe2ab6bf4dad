// Which arithmetic of a kernel runs: both kinds give the same bytes.
#pragma once

#include <cstdint>

namespace millrace::stages {

enum class Kernels : std::uint8_t {
  kSimd,    // the best instruction set of this processor
  kScalar,  // the plain C++ twin
};

}  // namespace millrace::stages
