#include "model/deterministic.h"

#include <ATen/Context.h>

#include <cstdlib>

namespace millrace::model {

void UseDeterministicKernels(bool only) {
  at::Context& context = at::globalContext();
  context.setDeterministicAlgorithms(only, /*warn_only=*/false);
  context.setDeterministicCuDNN(only);
  context.setBenchmarkCuDNN(!only);
  // cuBLAS reads it when its first handle is made; with more workspaces than these its results may
  // differ from run to run (its manual, "Results reproducibility").
  constexpr int kKeepTheUsers = 0;
  if (only) ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", kKeepTheUsers);
}

bool UsesDeterministicKernels() { return at::globalContext().deterministicAlgorithms(); }

}  // namespace millrace::model
