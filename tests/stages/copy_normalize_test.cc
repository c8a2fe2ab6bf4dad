#include "stages/copy_normalize.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace millrace::stages {
namespace {

constexpr ChannelStatistics kImageNet{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};

at::Tensor EveryByte() {
  return at::arange(2 * 16 * 24 * 3, at::kInt).remainder(256).to(at::kByte).view({2, 16, 24, 3});
}

at::Tensor Normalized(const at::Tensor& bytes, at::ScalarType type) {
  const at::Tensor images = at::empty({bytes.size(0), 3, bytes.size(1), bytes.size(2)}, type)
                                .contiguous(at::MemoryFormat::ChannelsLast);
  DeviceNormalizer(kImageNet, at::kCPU)(bytes, images);
  return images;
}

TEST(DeviceNormalizer, GivesTheBitsOfTheCopyToACpu) {
  const at::Tensor bytes = EveryByte();
  std::vector<float> wanted(static_cast<std::size_t>(bytes.numel()));
  Normalize(Kernels::kScalar, bytes.const_data_ptr<std::uint8_t>(), wanted.size() / 3, kImageNet,
            wanted.data());
  const at::Tensor images = Normalized(bytes, at::kFloat);
  EXPECT_EQ(std::memcmp(images.const_data_ptr(), wanted.data(), wanted.size() * sizeof(float)), 0);
}

TEST(DeviceNormalizer, SixteenBitsAreTheRoundedFloat32) {
  const at::Tensor bytes = EveryByte();
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    EXPECT_TRUE(at::equal(Normalized(bytes, type), Normalized(bytes, at::kFloat).to(type)));
  }
}

}  // namespace
}  // namespace millrace::stages
