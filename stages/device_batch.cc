#include "stages/device_batch.h"

#include <ATen/ATen.h>

#include "stages/image.h"

namespace millrace::stages {

at::Tensor SeeAsImages(const at::Tensor& flat, std::int64_t samples, Size picture, Layout layout) {
  const std::int64_t height = picture.height;
  const std::int64_t width = picture.width;
  const at::Tensor values = flat.narrow(0, 0, samples * height * width * kChannels);
  if (layout == Layout::kNchw) return values.view({samples, kChannels, height, width});
  // What ATen calls channels-last.
  return values.view({samples, height, width, kChannels}).permute({0, 3, 1, 2});
}

}  // namespace millrace::stages
