#include "stages/copy.h"

#include <ATen/ATen.h>

#include <cstring>

#include "base/check.h"
#include "base/huge_pages.h"

namespace millrace::stages {

CopyToCpu::CopyToCpu(const ChannelStatistics& statistics, ImageFormat format)
    : statistics_(statistics), format_(format) {
  MILLRACE_CHECK(format.type == at::kFloat || format.type == at::kBFloat16);
}

DeviceBatch CopyToCpu::operator()(const Slot& slot) {
  const auto num_samples = static_cast<std::int64_t>(slot.batch().size);
  const auto num_values = static_cast<std::int64_t>(slot.pixels().size());
  if (!buffer_.defined() || buffer_.numel() < num_values) {
    buffer_ = at::empty({num_values}, format_.type);
    WishForHugePages(buffer_.data_ptr(), buffer_.nbytes());
  }

  const std::uint8_t* nhwc = slot.pixels().data();
  const std::size_t num_pixels = slot.pixels().size() / kChannels;
  if (format_.layout == Layout::kNhwc) {
    Write(nhwc, 0, num_pixels);
  } else {
    const std::size_t of_picture = slot.image_bytes() / kChannels;
    for (std::size_t first = 0; first < num_pixels; first += of_picture) {
      Write(nhwc, first, of_picture);
    }
  }
  at::Tensor labels = at::empty({num_samples}, at::kLong);
  std::memcpy(labels.data_ptr<std::int64_t>(), slot.labels().data(), slot.labels().size_bytes());
  return {.images = SeeAsImages(buffer_, num_samples, slot.picture(), format_.layout),
          .labels = std::move(labels)};
}

void CopyToCpu::Write(const std::uint8_t* nhwc, std::size_t first, std::size_t pixels) {
  const std::size_t at = first * kChannels;
  if (format_.type == at::kBFloat16) {
    NormalizeToBfloat16(Kernels::kSimd, nhwc + at, pixels, statistics_, format_.layout,
                        static_cast<std::uint16_t*>(buffer_.data_ptr()) + at);
  } else {
    Normalize(Kernels::kSimd, nhwc + at, pixels, statistics_, format_.layout,
              buffer_.data_ptr<float>() + at);
  }
}

}  // namespace millrace::stages
