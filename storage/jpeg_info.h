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
// A picture that is held in memory as coefficients, 6 bytes a pixel: one in several scans
// (progressive), or one to be encoded again.
inline constexpr std::uint64_t kMaxCoefficientPixels = std::uint64_t{1} << 26;
// As in libjpeg-turbo's own fuzzers: each scan costs a pass over the picture, and a small file can
// name thousands.
inline constexpr int kMaxScans = 500;

// What to do about data that libjpeg warns of, but decodes.
enum class OnDamage : std::uint8_t {
  kFault,   // the picture is not used
  kRepair,  // the pixels are what libjpeg makes of it
};

// What the planes of a JPEG mean. Only the first three are stored.
enum class JpegColor : std::uint8_t { kGray, kYcc, kRgb, kCmyk, kYcck, kOther };

struct JpegInfo {
  std::uint32_t width = 0;   // [pixels]
  std::uint32_t height = 0;  // [pixels]
  Subsampling subsampling = Subsampling::kUnknown;
  JpegColor color = JpegColor::kYcc;
  bool progressive = false;
  bool arithmetic = false;  // arithmetic coding instead of Huffman's

  std::uint64_t pixels() const { return std::uint64_t{width} * height; }

  bool operator==(const JpegInfo&) const = default;
};

// What the first bytes say a file is: "a JPEG image", "a PNG image", "an HTML page"; "" when they
// say nothing.
std::string_view SniffFormat(std::span<const std::byte> bytes);

// Whether a warning, by its number in jerror.h, is about an oddity of the header that leaves the
// pixels alone: an unknown JFIF or Adobe variant, scan parameters that a sequential picture does
// not use. What is stored may have it, so whoever decodes must pass over it.
bool IsHarmlessWarning(int code);

// Why a JPEG of this colour cannot be stored as such; nullptr when it can.
const char* WhyNotStored(JpegColor color);

// The header of a JPEG of any kind that libjpeg can read, damaged or not. Faults: empty, another
// format (by name), a header that makes no sense, 12 bits per sample, more pixels than the limit.
Result<JpegInfo> ReadJpegInfo(std::span<const std::byte> bytes);

// The header of a JPEG that can be stored, after decoding every scan of it: CMYK, YCCK and
// arithmetic coding are faults, and so is a truncated or corrupt picture, in libjpeg's words. A
// picture passes when a full decode gives no warning that concerns its pixels; bytes behind its end
// are none of it. Memory: a few rows, or 6 bytes a pixel with several scans.
Result<JpegInfo> CheckJpeg(std::span<const std::byte> bytes);

}  // namespace millrace::storage
