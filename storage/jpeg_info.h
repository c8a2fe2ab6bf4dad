// What a JPEG's header says, and whether the whole of it decodes: the gate through which pictures
// enter a dataset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "storage/record_view.h"

namespace millrace::storage {

// Limits of what is taken in. Above them memory or time are at risk, not photographs.
inline constexpr std::uint64_t kMaxPixels = std::uint64_t{1} << 29;
// A picture in several scans (progressive) is held in memory as coefficients, 6 bytes a pixel.
inline constexpr std::uint64_t kMaxMultiScanPixels = std::uint64_t{1} << 26;
// As in libjpeg-turbo's own fuzzers: each scan costs a pass over the picture, and a small file can
// name thousands.
inline constexpr int kMaxScans = 500;

enum class JpegColor : std::uint8_t { kGray, kYcc, kRgb };

struct JpegInfo {
  std::uint32_t width = 0;   // [pixels]
  std::uint32_t height = 0;  // [pixels]
  Subsampling subsampling = Subsampling::kUnknown;
  JpegColor color = JpegColor::kYcc;
  bool progressive = false;

  bool operator==(const JpegInfo&) const = default;
};

// What the first bytes say a file is: "a JPEG image", "a PNG image", "an HTML page"; "" when they
// say nothing.
std::string_view SniffFormat(std::span<const std::byte> bytes);

// The header of a JPEG that millrace can use. Faults: empty, another format (by name), damaged
// header, CMYK or YCCK, 12 bits per sample, arithmetic coding, more pixels than the limits.
Result<JpegInfo> ReadJpegInfo(std::span<const std::byte> bytes);

// The same, and decodes every scan of the picture: a truncated or corrupt one is a fault that
// carries libjpeg's words. A picture passes when a full decode gives no warning that concerns its
// pixels; bytes behind its end are none of it. Memory: a few rows, or 6 bytes a pixel with several
// scans.
Result<JpegInfo> CheckJpeg(std::span<const std::byte> bytes);

}  // namespace millrace::storage
