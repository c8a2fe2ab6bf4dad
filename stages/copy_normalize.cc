#include "stages/copy_normalize.h"

#include <ATen/ATen.h>

#include <vector>

namespace millrace::stages {
namespace {

at::Tensor ToDevice(const std::array<float, kChannels>& values, c10::Device device) {
  return at::tensor(std::vector<float>(values.begin(), values.end()), at::kFloat).to(device);
}

}  // namespace

DeviceNormalizer::DeviceNormalizer(const ChannelStatistics& statistics, c10::Device device)
    : top_(at::full({}, 255.0, at::TensorOptions(device).dtype(at::kFloat))),
      mean_(ToDevice(statistics.mean, device)),
      std_(ToDevice(statistics.std, device)) {}

void DeviceNormalizer::operator()(const at::Tensor& bytes, const at::Tensor& images) const {
  const at::Tensor values = bytes.to(at::kFloat).div_(top_).sub_(mean_).div_(std_);
  images.permute({0, 2, 3, 1}).copy_(values);
}

}  // namespace millrace::stages
