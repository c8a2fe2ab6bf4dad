// Which of LibTorch's kernels networks may use.
#pragma once

namespace millrace::model {

// Of the whole process. `only`: an operation that has no deterministic kernel throws.
void UseDeterministicKernels(bool only);

bool UsesDeterministicKernels();

}  // namespace millrace::model
