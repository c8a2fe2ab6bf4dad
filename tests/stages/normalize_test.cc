#include "stages/normalize.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "stages/simd.h"

namespace millrace::stages {
namespace {

constexpr ChannelStatistics kImageNet{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};

std::vector<float> Normalized(Kernels kernels, const std::vector<std::uint8_t>& bytes) {
  std::vector<float> out(bytes.size());
  Normalize(kernels, bytes.data(), bytes.size() / kChannels, kImageNet, out.data());
  return out;
}

class NormalizeTargets : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { UseSimdTarget(GetParam()); }
  void TearDown() override { UseSimdTarget(""); }
};

TEST_P(NormalizeTargets, AgreeWithScalarTwinForEveryValueAndLength) {
  for (std::size_t pixels = 0; pixels < 70; ++pixels) {
    std::vector<std::uint8_t> bytes(pixels * kChannels);
    for (int start = 0; start < 256; start += 1) {
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<std::uint8_t>(i + static_cast<std::size_t>(start));
      }
      const std::vector<float> simd = Normalized(Kernels::kSimd, bytes);
      const std::vector<float> scalar = Normalized(Kernels::kScalar, bytes);
      if (pixels == 0) continue;
      ASSERT_EQ(0, std::memcmp(simd.data(), scalar.data(), simd.size() * sizeof(float))) << pixels;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Simd, NormalizeTargets, ::testing::ValuesIn(SimdTargets()),
                         [](const auto& target) { return target.param; });

TEST(Normalize, ChannelsHaveTheirOwnStatistics) {
  EXPECT_EQ(Normalized(Kernels::kScalar, {255, 255, 255}),
            (std::vector<float>{(1.0f - 0.485f) / 0.229f, (1.0f - 0.456f) / 0.224f,
                                (1.0f - 0.406f) / 0.225f}));
}

}  // namespace
}  // namespace millrace::stages
