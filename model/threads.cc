#include "model/threads.h"

#include <ATen/Parallel.h>

#include "base/check.h"

namespace millrace::model {

void SetComputeThreads(int threads) {
  MILLRACE_CHECK(threads >= 1);
  at::set_num_threads(threads);
}

int ComputeThreads() { return at::get_num_threads(); }

}  // namespace millrace::model
