// Pictures that no JPEG holds exactly: their pixels, as a PNG payload keeps them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "storage/pixels.h"

namespace millrace::storage {

enum class ForeignKind : std::uint8_t {
  kNone,  // a JPEG that is stored as such, or what is no picture
  kPng,
  kCmykJpeg,
  kYcckJpeg,
};

ForeignKind ForeignKindOf(std::span<const std::byte> bytes);

struct ForeignPicture {
  Pixels pixels;              // one channel where all pixels are gray
  std::uint32_t repairs = 0;  // bits of Repair
};

// Exactly the pixels of Pillow 13's `Image.open(file).convert("RGB")`. As there, the inks of a JPEG
// are inverted, which is how Adobe's programs write them, whether they left their marker or not,
// and colour profiles are passed over. Of a CMYK JPEG that is truncated or damaged it is what
// libjpeg-turbo makes of it, and `repairs` says so.
//
// Faults: what is of no foreign kind, those of ReadPng() and ReadJpegInfo(), a JPEG of more than
// kMaxHeldPixels pixels or from which libjpeg gets no picture. Memory: 4 bytes a pixel, and 8 more
// for a JPEG of several scans.
Result<ForeignPicture> ReadForeignPicture(std::span<const std::byte> bytes);

}  // namespace millrace::storage
