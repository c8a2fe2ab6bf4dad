// Pictures that no JPEG holds exactly: their pixels, as a PNG payload keeps them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "storage/pixels.h"

namespace millrace::storage {

enum class ForeignKind : std::uint8_t { kNone, kPng, kCmykJpeg };

// kNone: a JPEG that is stored as such, or what is no picture.
ForeignKind ForeignKindOf(std::span<const std::byte> bytes);

struct ForeignPicture {
  Pixels pixels;              // one channel where all pixels are gray
  std::uint32_t repairs = 0;  // bits of Repair
};

// Exactly the pixels of Pillow 13's `Image.open(file).convert("RGB")`. A CMYK JPEG that is
// truncated or damaged gives what libjpeg-turbo makes of it, and `repairs` says so. Faults as those
// of ReadPng() and ReadCmykJpeg(); what is of no foreign kind is a fault, too.
Result<ForeignPicture> ReadForeignPicture(std::span<const std::byte> bytes);

}  // namespace millrace::storage
