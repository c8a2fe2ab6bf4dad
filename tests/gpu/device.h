// The GPU that a test needs.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

namespace millrace::test {

// Skips the test, visibly, on a machine without a GPU.
class OnDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    int devices = 0;
    if (const cudaError_t result = cudaGetDeviceCount(&devices); result != cudaSuccess) {
      GTEST_SKIP() << "no GPU here: " << cudaGetErrorString(result);
    }
    if (devices == 0) GTEST_SKIP() << "no GPU here";
  }
};

}  // namespace millrace::test
