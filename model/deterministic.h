// Which of LibTorch's kernels networks may use.
#pragma once

namespace millrace::model {

// Of the whole process, before the first operation on a GPU. `only`: an operation that has no
// deterministic kernel throws. Otherwise cuDNN tries its kernels on the first batch of a shape and
// keeps the fastest.
void UseDeterministicKernels(bool only);

bool UsesDeterministicKernels();

}  // namespace millrace::model
