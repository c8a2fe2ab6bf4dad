// The text of kernels, which the program carries along: compiled for the GPU that is there, and
// compiled as plain C++ for their twins on the CPU.
#pragma once

#include <span>
#include <string_view>

namespace millrace {

struct KernelSource {
  std::string_view name;  // as #include "name" in another one says it
  std::string_view text;
};

}  // namespace millrace
