// PNG payloads: pictures that have no exact JPEG, kept without loss; and the reading of any PNG
// into what such a payload holds.
//
// A PNG payload has 8 bits per sample, gray or RGB, and is not interlaced. All functions may be
// called from any thread; nothing is kept between calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "storage/pixels.h"

namespace millrace::storage {

struct PngInfo {
  std::uint32_t width = 0;   // [pixels]
  std::uint32_t height = 0;  // [pixels]
  bool gray = false;

  bool operator==(const PngInfo&) const = default;
};

// A rectangle of a picture [pixels].
struct PngRegion {
  std::uint32_t x = 0;
  std::uint32_t y = 0;
  std::uint32_t width = 0;
  std::uint32_t height = 0;
};

bool IsPng(std::span<const std::byte> bytes);

// Width times height as the header says, unchecked: for whoever must know before how much memory a
// picture may need. 0 when there is no header.
std::uint64_t AnnouncedPngPixels(std::span<const std::byte> bytes);

// Pixels of any PNG, as Pillow 13's `Image.open(file).convert("RGB")` gives them: alpha, tRNS,
// gamma and colour profiles are passed over, 16 bits per channel lose the lower 8, and gray of 16
// bits is cut off at 255. One channel when the file has one, three otherwise. `end` (if not null)
// becomes the number of bytes up to the picture's end. Faults: truncated, corrupt (a wrong checksum
// of a critical chunk included), more than kMaxHeldPixels pixels; nothing is allocated for a size
// that the file is too small to hold. Memory: the pixels.
Result<Pixels> ReadPng(std::span<const std::byte> bytes, std::size_t* end = nullptr);

// A PNG payload of these pixels: the same bytes for the same pixels and the same zlib. REQUIRES:
// sizes > 0, as many bytes as they say
std::vector<std::byte> MakePngPayload(const Pixels& pixels);

// The header of a PNG payload. Faults: not a PNG, damaged, more than kMaxHeldPixels pixels, of a
// kind that no payload has.
Result<PngInfo> ReadPngInfo(std::span<const std::byte> bytes);

// The same, and decodes the whole of it, checksums included. Memory: a few rows.
Result<PngInfo> CheckPngPayload(std::span<const std::byte> bytes);

// Decodes `region` of a PNG payload to interleaved 8-bit RGB, gray with three equal channels, into
// rows that lie `row_bytes` apart. What lies below the region is not looked at. After a fault `out`
// is undefined. REQUIRES: the region is not empty
Outcome ReadPngRegion(std::span<const std::byte> bytes, const PngRegion& region, std::uint8_t* out,
                      std::size_t row_bytes);

}  // namespace millrace::storage
