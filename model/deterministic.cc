#include "model/deterministic.h"

#include <ATen/Context.h>

namespace millrace::model {

void UseDeterministicKernels(bool only) {
  at::globalContext().setDeterministicAlgorithms(only, /*warn_only=*/false);
}

bool UsesDeterministicKernels() { return at::globalContext().deterministicAlgorithms(); }

}  // namespace millrace::model
