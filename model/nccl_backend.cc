#include "model/nccl_backend.h"

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <cstdlib>

namespace millrace::model {

c10::intrusive_ptr<c10d::Backend> MakeNcclBackend(const c10::intrusive_ptr<c10d::Store>& store,
                                                  int rank, int world_size,
                                                  std::chrono::milliseconds timeout) {
  constexpr int kKeepTheUsers = 0;
  // A library ends no process: a failure of a rank takes the communicators down ("CleanUpOnly") and
  // is told by those who wait; the monitor would abort.
  ::setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "2", kKeepTheUsers);
  ::setenv("TORCH_NCCL_ENABLE_MONITORING", "0", kKeepTheUsers);
  auto options = c10d::ProcessGroupNCCL::Options::create(/*is_high_priority_stream=*/true);
  options->timeout = timeout;
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, world_size, options);
}

}  // namespace millrace::model
