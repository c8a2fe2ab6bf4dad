// uint8 pixels to the float32 or bfloat16 that a network wants.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "stages/image.h"
#include "stages/kernels.h"

namespace millrace::stages {

// What is taken off each channel of a picture in 0..1, and by what the rest is divided.
struct ChannelStatistics {
  std::array<float, kChannels> mean;
  std::array<float, kChannels> std;
};

// Where the values of a picture lie: channel beside channel (channels-last), or in planes, one
// behind the other.
enum class Layout : std::uint8_t { kNhwc, kNchw };

// out = (in / 255 - mean) / std per channel, each operation in float32 as IEEE 754 rounds it: the
// bits of torchvision's ToTensor followed by Normalize. `in` is interleaved, `out` has `layout`;
// with planes, `pixels` are those of one picture. REQUIRES: no std is 0
void Normalize(Kernels kernels, const std::uint8_t* nhwc, std::size_t pixels,
               const ChannelStatistics& statistics, Layout layout, float* out);

// The same rounded to bfloat16, to nearest even, as PyTorch's `.to(torch.bfloat16)` does. `out`:
// its bits. REQUIRES: no result is NaN, which takes statistics that are not finite
void NormalizeToBfloat16(Kernels kernels, const std::uint8_t* nhwc, std::size_t pixels,
                         const ChannelStatistics& statistics, Layout layout, std::uint16_t* out);

}  // namespace millrace::stages
