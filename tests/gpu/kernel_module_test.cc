#include "base/gpu/kernel_module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tests/gpu/device.h"
#include "tests/support/error_text.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kSources = std::to_array<KernelSource>({
    {"scale.h", "__device__ inline float Scaled(float x, float y) { return x * y + 1.0f; }\n"},
    {"scale.cu",
     "#include \"scale.h\"\n"
     "extern \"C\" __global__ void Scale(const float* in, float factor, int count, float* out) {\n"
     "  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);\n"
     "  if (i < count) out[i] = Scaled(in[i], factor);\n"
     "}\n"},
    {"broken.cu", "extern \"C\" __global__ void Broken() { nonsense(); }\n"},
});

TEST(CompileKernels, GivesMachineCodeWithoutADevice) {
  // The oldest that CUDA 13 knows, and those of A100, H100 and B200.
  for (const int capability : {75, 80, 90, 100}) {
    EXPECT_THAT(CompileKernels(kSources, "scale.cu", capability), StartsWith("\x7f"
                                                                             "ELF"));
  }
}

TEST(CompileKernels, MistakeIsShownWithItsLine) {
  const std::string error = test::ErrorOf([] { CompileKernels(kSources, "broken.cu", 90); });
  EXPECT_THAT(error,
              StartsWith("the kernels broken.cu cannot be compiled for compute capability 9.0:"));
  EXPECT_THAT(error, HasSubstr("broken.cu(1): error: identifier \"nonsense\" is undefined"));
}

using KernelModuleOnDevice = test::OnDevice;

TEST_F(KernelModuleOnDevice, RunsWithProductsAndSumsApart) {
  const KernelModule module(kSources, "scale.cu");
  // Where one rounding instead of two gives another number.
  const std::vector<float> in(1000, 1.0F + 0x1p-12F);
  const float factor = 1.0F + 0x1p-13F;
  std::vector<float> out(in.size());
  const std::size_t bytes = in.size() * sizeof(float);
  float* device = nullptr;
  RequireCuda(cudaMalloc(reinterpret_cast<void**>(&device), 2 * bytes), "memory");
  RequireCuda(cudaMemcpy(device, in.data(), bytes, cudaMemcpyDefault), "copy");
  Launch(module.Find("Scale"), {.blocks = dim3(4), .threads = dim3(256)}, nullptr,
         static_cast<const float*>(device), factor, static_cast<int>(in.size()),
         device + in.size());
  RequireCuda(cudaMemcpy(out.data(), device + in.size(), bytes, cudaMemcpyDefault), "copy");
  cudaFree(device);
  const volatile float product = in[0] * factor;
  for (const float value : out) ASSERT_EQ(value, product + 1.0F);
}

TEST_F(KernelModuleOnDevice, UnknownKernelIsNamed) {
  const KernelModule module(kSources, "scale.cu");
  EXPECT_THAT(test::ErrorOf([&] { module.Find("Other"); }),
              StartsWith("there is no kernel Other: "));
}

}  // namespace
}  // namespace millrace
