#include "base/check.h"
#include "model/nccl_backend.h"

namespace millrace::model {

c10::intrusive_ptr<c10d::Backend> MakeNcclBackend(const c10::intrusive_ptr<c10d::Store>&, int, int,
                                                  std::chrono::milliseconds) {
  MILLRACE_CHECK(false);
  return {};
}

}  // namespace millrace::model
