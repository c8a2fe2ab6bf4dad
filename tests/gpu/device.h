// The GPU that a test needs.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

namespace millrace::test {

// Skips the test, visibly, on a machine without a GPU. To be called in SetUp(), first.
#define MILLRACE_SKIP_WITHOUT_DEVICE()                               \
  do {                                                               \
    int devices = 0;                                                 \
    const cudaError_t result = cudaGetDeviceCount(&devices);         \
    if (result != cudaSuccess || devices == 0) {                     \
      GTEST_SKIP() << "no GPU here: " << cudaGetErrorString(result); \
    }                                                                \
  } while (false)

class OnDevice : public ::testing::Test {
 protected:
  void SetUp() override { MILLRACE_SKIP_WITHOUT_DEVICE(); }
};

}  // namespace millrace::test
