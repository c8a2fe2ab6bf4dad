// Pictures that no JPEG holds exactly, turned into PNG payloads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "storage/record_view.h"

namespace millrace::storage {

struct RepairedPicture {
  std::vector<std::byte> payload;                   // a PNG, see png_picture.h
  std::uint32_t width = 0;                          // [pixels]
  std::uint32_t height = 0;                         // [pixels]
  Subsampling subsampling = Subsampling::kUnknown;  // or kGray
  std::uint32_t repairs = 0;                        // bits of Repair
};

// Whether a picture is one that RepairPicture() is for: a PNG, or a CMYK or YCCK JPEG.
bool NeedsPng(std::span<const std::byte> bytes);

// The picture with exactly the pixels of Pillow 13's `Image.open(file).convert("RGB")`, without
// loss; gray is stored as gray. A CMYK JPEG that is truncated or damaged keeps what libjpeg-turbo
// makes of it, and `repairs` says so. Faults as those of ReadPng() and ReadCmykJpeg(). Memory: a
// few times the pixels.
Result<RepairedPicture> RepairPicture(std::span<const std::byte> bytes);

}  // namespace millrace::storage
