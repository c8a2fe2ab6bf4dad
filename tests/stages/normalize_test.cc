#include "stages/normalize.h"

#include <gtest/gtest.h>
#include <hwy/aligned_allocator.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/random.h"
#include "stages/simd.h"

namespace millrace::stages {
namespace {

constexpr ChannelStatistics kImageNet{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};

std::vector<float> Normalized(Kernels kernels, const std::vector<std::uint8_t>& bytes,
                              Layout layout = Layout::kNhwc) {
  std::vector<float> out(bytes.size());
  Normalize(kernels, bytes.data(), bytes.size() / kChannels, kImageNet, layout, out.data());
  return out;
}

std::vector<std::uint16_t> ToBfloat16(Kernels kernels, const std::vector<std::uint8_t>& bytes,
                                      Layout layout = Layout::kNhwc) {
  std::vector<std::uint16_t> out(bytes.size());
  NormalizeToBfloat16(kernels, bytes.data(), bytes.size() / kChannels, kImageNet, layout,
                      out.data());
  return out;
}

class NormalizeTargets : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { UseSimdTarget(GetParam()); }
  void TearDown() override { UseSimdTarget(""); }
};

TEST_P(NormalizeTargets, AgreeWithScalarTwinForEveryValueAndLength) {
  for (std::size_t pixels = 0; pixels < 140; ++pixels) {
    std::vector<std::uint8_t> bytes(pixels * kChannels);
    for (int start = 0; start < 256; start += 3) {
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<std::uint8_t>(i + static_cast<std::size_t>(start));
      }
      if (pixels == 0) continue;
      for (const Layout layout : {Layout::kNhwc, Layout::kNchw}) {
        const std::vector<float> simd = Normalized(Kernels::kSimd, bytes, layout);
        const std::vector<float> scalar = Normalized(Kernels::kScalar, bytes, layout);
        ASSERT_EQ(0, std::memcmp(simd.data(), scalar.data(), simd.size() * sizeof(float)))
            << pixels;
        ASSERT_EQ(ToBfloat16(Kernels::kSimd, bytes, layout),
                  ToBfloat16(Kernels::kScalar, bytes, layout))
            << pixels;
      }
    }
  }
}

// Every byte in every channel, written to where a vector begins and behind.
TEST_P(NormalizeTargets, AgreeWithScalarTwinWhateverTheStatisticsAndThePlace) {
  constexpr std::size_t kPixels = 256 + 64;
  std::vector<std::uint8_t> bytes(kPixels * kChannels);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::uint8_t>(i / kChannels);
  const auto room = hwy::AllocateAligned<float>(bytes.size() + 1);
  std::vector<float> expected(bytes.size());
  RandomStream random({}, 0);
  const auto number = [&](float most) {
    return most * static_cast<float>(random.Next() + 1.0) / 0x1p32f;
  };
  for (std::size_t round = 0; round < 300; ++round) {
    ChannelStatistics statistics{{number(1), number(1), number(1)},
                                 {number(1), number(1), number(1)}};
    // Its reciprocal is no float: divisions alone give what it does.
    if (round % 10 == 0) statistics.std[round / 10 % kChannels] = 0x1p-128f;
    for (const Layout layout : {Layout::kNhwc, Layout::kNchw}) {
      Normalize(Kernels::kScalar, bytes.data(), kPixels, statistics, layout, expected.data());
      for (float* const out : {room.get(), room.get() + 1}) {
        Normalize(Kernels::kSimd, bytes.data(), kPixels, statistics, layout, out);
        ASSERT_EQ(0, std::memcmp(out, expected.data(), expected.size() * sizeof(float))) << round;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Simd, NormalizeTargets, ::testing::ValuesIn(SimdTargets()),
                         [](const auto& target) { return target.param; });

// `value` as 1 - mean of a white pixel. REQUIRES: 1 - value is exact
std::uint16_t Rounded(Kernels kernels, float value) {
  const std::vector<std::uint8_t> white(kChannels * 64, 255);
  std::vector<std::uint16_t> out(white.size());
  NormalizeToBfloat16(kernels, white.data(), 64, {{1 - value, 0, 0}, {1, 1, 1}}, Layout::kNhwc,
                      out.data());
  return out[0];
}

TEST(NormalizeToBfloat16, RoundsToTheNearestAndTiesToTheEvenOne) {
  for (const Kernels kernels : {Kernels::kSimd, Kernels::kScalar}) {
    EXPECT_EQ(Rounded(kernels, 1.0f), 0x3F80);
    EXPECT_EQ(Rounded(kernels, 1 + 0x1p-8f), 0x3F80);
    EXPECT_EQ(Rounded(kernels, 1 + 0x1p-8f + 0x1p-23f), 0x3F81);
    EXPECT_EQ(Rounded(kernels, 1 + 0x3p-8f - 0x1p-23f), 0x3F81);
    EXPECT_EQ(Rounded(kernels, 1 + 0x3p-8f), 0x3F82);
    EXPECT_EQ(Rounded(kernels, -1 - 0x1p-8f), 0xBF80);
    EXPECT_EQ(Rounded(kernels, -1 - 0x3p-8f), 0xBF82);
    EXPECT_EQ(Rounded(kernels, 2 - 0x1p-23f), 0x4000) << "carried into the exponent";
  }
}

TEST(Normalize, PlanesHoldTheSameValuesChannelByChannel) {
  std::vector<std::uint8_t> bytes(200 * kChannels);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37);
  const std::vector<float> beside = Normalized(Kernels::kScalar, bytes);
  const std::vector<float> planes = Normalized(Kernels::kScalar, bytes, Layout::kNchw);
  for (std::size_t pixel = 0; pixel < 200; ++pixel) {
    for (std::size_t channel = 0; channel < kChannels; ++channel) {
      ASSERT_EQ(planes[channel * 200 + pixel], beside[pixel * kChannels + channel]);
    }
  }
}

TEST(Normalize, ChannelsHaveTheirOwnStatistics) {
  EXPECT_EQ(Normalized(Kernels::kScalar, {255, 255, 255}),
            (std::vector<float>{(1.0f - 0.485f) / 0.229f, (1.0f - 0.456f) / 0.224f,
                                (1.0f - 0.406f) / 0.225f}));
}

}  // namespace
}  // namespace millrace::stages
