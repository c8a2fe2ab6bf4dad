#include "base/check.h"
#include "pipeline/gpus.h"

namespace millrace::pipeline {

Gpus FindGpus() {
  return {.names = {},
          .bus_ids = {},
          .problem = "this program is built without CUDA",
          .remedy = "build one with `./check build cuda`"};
}

std::unique_ptr<LaneDevice> MakeCudaDevice(CudaDeviceOptions) {
  MILLRACE_CHECK(false);
  return nullptr;
}

stages::PixelAllocator PinnedPixels(std::vector<int>) {
  MILLRACE_CHECK(false);
  return {};
}

}  // namespace millrace::pipeline
