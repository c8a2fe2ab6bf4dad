// The kernel that normalises, on the device: as the CPU does it, and as its twin rounds
// (tests/stages/gpu/normalize_twin_test.cc).
#include "stages/gpu/device_normalize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "stages/gpu/memory.h"
#include "tests/gpu/device.h"

namespace millrace::stages::gpu {
namespace {

constexpr ChannelStatistics kStatistics{{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}};

class DeviceNormalizeTest : public test::OnDevice {
 protected:
  template <typename Value>
  std::vector<Value> Normalized(const std::vector<std::uint8_t>& nhwc, Output output,
                                std::size_t pictures = 1, Layout layout = Layout::kNhwc) {
    const DeviceNormalize normalize(kStatistics);
    DeviceMemory in(nullptr);
    DeviceMemory out(nullptr);
    std::vector<Value> normalized(nhwc.size());
    in.Reserve(nhwc.size());
    out.Reserve(normalized.size() * sizeof(Value));
    RequireCuda(cudaMemcpy(in.as<void>(), nhwc.data(), nhwc.size(), cudaMemcpyDefault), "copy");
    normalize(in.as<std::uint8_t>(), pictures, nhwc.size() / kChannels / pictures, layout, output,
              out.as<void>(), nullptr);
    RequireCuda(cudaMemcpy(normalized.data(), out.as<void>(), normalized.size() * sizeof(Value),
                           cudaMemcpyDefault),
                "copy");
    return normalized;
  }
};

// More than the blocks of threads that run at once take in one round, with a rest.
std::vector<std::uint8_t> Pixels() {
  std::vector<std::uint8_t> pixels((3'000'001) * kChannels);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 7 / 3);
  return pixels;
}

TEST_F(DeviceNormalizeTest, Float32HasTheBitsOfTheCpu) {
  const auto pixels = Pixels();
  std::vector<float> expected(pixels.size());
  Normalize(Kernels::kScalar, pixels.data(), pixels.size() / kChannels, kStatistics, Layout::kNhwc,
            expected.data());
  const auto found = Normalized<float>(pixels, Output::kFloat32);
  EXPECT_EQ(std::memcmp(found.data(), expected.data(), expected.size() * sizeof(float)), 0);
}

TEST_F(DeviceNormalizeTest, PlanesHaveTheBitsOfTheCpu) {
  auto pixels = Pixels();
  constexpr std::size_t kPictures = 59;
  constexpr std::size_t kPlane = 223 * 227;
  pixels.resize(kPictures * kPlane * kChannels);
  std::vector<float> expected(pixels.size());
  for (std::size_t i = 0; i < pixels.size(); i += kPlane * kChannels) {
    Normalize(Kernels::kScalar, pixels.data() + i, kPlane, kStatistics, Layout::kNchw,
              expected.data() + i);
  }
  const auto found = Normalized<float>(pixels, Output::kFloat32, kPictures, Layout::kNchw);
  EXPECT_EQ(std::memcmp(found.data(), expected.data(), expected.size() * sizeof(float)), 0);
}

TEST_F(DeviceNormalizeTest, SixteenBitsAreThoseOfTheTwin) {
  const auto pixels = Pixels();
  std::vector<std::uint16_t> expected(pixels.size());
  for (const Output output : {Output::kBfloat16, Output::kFloat16}) {
    NormalizeWork work{.nhwc = pixels.data(),
                       .values = pixels.size(),
                       .plane = 0,
                       .mean = {},
                       .std = {},
                       .output = output,
                       .out = expected.data()};
    std::copy(kStatistics.mean.begin(), kStatistics.mean.end(), work.mean);
    std::copy(kStatistics.std.begin(), kStatistics.std.end(), work.std);
    const auto shared = std::make_unique<NormalizeShared>();
    for (u32 thread = 0; thread < kThreads; ++thread) FillValues(work, thread, shared.get());
    // One thread in place of all; the rest is the others'.
    for (u64 thread = 0; thread < 4; ++thread) NormalizeValues(work, thread, 4, *shared);
    EXPECT_EQ(Normalized<std::uint16_t>(pixels, output), expected);
  }
}

}  // namespace
}  // namespace millrace::stages::gpu
