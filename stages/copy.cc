#include "stages/copy.h"

#include <ATen/ATen.h>

#include <cstring>

#include "base/check.h"

namespace millrace::stages {

CopyToCpu::CopyToCpu(const ChannelStatistics& statistics, c10::ScalarType image_type)
    : statistics_(statistics), image_type_(image_type) {
  MILLRACE_CHECK(image_type == at::kFloat || image_type == at::kBFloat16);
}

DeviceBatch CopyToCpu::operator()(const Slot& slot) {
  const auto num_samples = static_cast<std::int64_t>(slot.batch().size);
  const auto height = static_cast<std::int64_t>(slot.picture().height);
  const auto width = static_cast<std::int64_t>(slot.picture().width);
  const auto num_values = static_cast<std::int64_t>(slot.pixels().size());
  if (!buffer_.defined() || buffer_.numel() < num_values)
    buffer_ = at::empty({num_values}, image_type_);

  const std::size_t num_pixels = slot.pixels().size() / kChannels;
  if (image_type_ == at::kBFloat16) {
    NormalizeToBfloat16(Kernels::kSimd, slot.pixels().data(), num_pixels, statistics_,
                        static_cast<std::uint16_t*>(buffer_.data_ptr()));
  } else {
    Normalize(Kernels::kSimd, slot.pixels().data(), num_pixels, statistics_,
              buffer_.data_ptr<float>());
  }
  at::Tensor labels = at::empty({num_samples}, at::kLong);
  std::memcpy(labels.data_ptr<std::int64_t>(), slot.labels().data(), slot.labels().size_bytes());
  // NHWC bytes seen as [N, C, H, W]: what ATen calls channels-last.
  at::Tensor images = buffer_.narrow(0, 0, num_values)
                          .view({num_samples, height, width, kChannels})
                          .permute({0, 3, 1, 2});
  return {.images = std::move(images), .labels = std::move(labels)};
}

}  // namespace millrace::stages
