#include "stages/copy.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>

namespace millrace::stages {
namespace {

constexpr ChannelStatistics kImageNet{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};

// What torchvision's ToTensor and Normalize make of the pictures, [N, 3, H, W].
at::Tensor Expected(const Slot& slot) {
  const at::Tensor bytes =
      at::from_blob(const_cast<std::uint8_t*>(slot.pixels().data()),
                    {slot.batch().size, slot.picture().height, slot.picture().width, kChannels},
                    at::kByte)
          .permute({0, 3, 1, 2});
  const auto of_channels = [](const std::array<float, kChannels>& values) {
    return at::tensor({values[0], values[1], values[2]}).view({1, 3, 1, 1});
  };
  return bytes.to(at::kFloat)
      .div(255)
      .sub(of_channels(kImageNet.mean))
      .div(of_channels(kImageNet.std));
}

class CopyToCpuFormats : public ::testing::TestWithParam<ImageFormat> {};

TEST_P(CopyToCpuFormats, BatchesOfAnySizeAreAsTheNetworkTakesThem) {
  CopyToCpu copy(kImageNet, GetParam());
  Slot slot(0, 5, 31 * 23 * kChannels);
  std::uint64_t number = 0;
  for (const auto& [samples, picture] :
       {std::pair{3u, Size{31, 23}}, {5u, Size{16, 16}}, {1u, Size{1, 1}}, {5u, Size{31, 23}}}) {
    slot.Begin({.sequence = ++number, .size = samples}, picture);
    for (std::uint32_t i = 0; i < samples; ++i) {
      for (std::size_t k = 0; k < slot.image_bytes(); ++k) {
        slot.image(i)[k] = static_cast<std::uint8_t>(k * 7 + i * 31 + number);
      }
      slot.label(i) = static_cast<std::int64_t>(100 * number + i);
    }
    const DeviceBatch batch = copy(slot);
    EXPECT_EQ(batch.images.scalar_type(), GetParam().type);
    EXPECT_TRUE(batch.images.is_contiguous(GetParam().layout == Layout::kNchw
                                               ? at::MemoryFormat::Contiguous
                                               : at::MemoryFormat::ChannelsLast));
    EXPECT_TRUE(at::equal(batch.images, Expected(slot).to(GetParam().type))) << number;
    for (std::uint32_t i = 0; i < samples; ++i) {
      EXPECT_EQ(batch.labels[i].item<std::int64_t>(), slot.label(i));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, CopyToCpuFormats,
                         ::testing::Values(ImageFormat{at::kFloat, Layout::kNhwc},
                                           ImageFormat{at::kFloat, Layout::kNchw},
                                           ImageFormat{at::kBFloat16, Layout::kNhwc},
                                           ImageFormat{at::kBFloat16, Layout::kNchw}));

}  // namespace
}  // namespace millrace::stages
