// CMYK and YCCK JPEGs into RGB pixels, for which there is no exact RGB JPEG.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "storage/pixels.h"

namespace millrace::storage {

struct CmykPicture {
  Pixels pixels;  // RGB
  // Bits of Repair: kTruncated and kCorrupt where libjpeg had to guess, kTrailingBytes where bytes
  // follow the picture's end.
  std::uint32_t repairs = 0;
};

// Whether a JPEG's header announces four colour planes. False for what is no JPEG or damaged.
bool IsCmykJpeg(std::span<const std::byte> bytes);

// Pixels of a JPEG of four planes as Pillow 13's `Image.open(file).convert("RGB")` gives them: the
// inks are inverted as Adobe's programs write them, with their marker or without, and no colour
// profile is applied. Damage that libjpeg-turbo gets over is told in `repairs`. Faults: not such a
// JPEG, a damaged header, other than 8 bits, more than kMaxHeldPixels pixels or kMaxScans scans.
// Memory: the pixels, and with several scans 8 bytes for each.
Result<CmykPicture> ReadCmykJpeg(std::span<const std::byte> bytes);

}  // namespace millrace::storage
