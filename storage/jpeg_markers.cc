#include "storage/jpeg_markers.h"

#include <cstdint>
#include <cstring>
#include <string_view>

#include "storage/jpeg_marker_codes.h"

namespace millrace::storage {
namespace {

using Bytes = std::span<const std::byte>;

// A number of `size` bytes at `at`; 0 when it lies outside.
std::uint32_t Number(Bytes bytes, std::size_t at, std::size_t size, bool big_endian) {
  if (at > bytes.size() || bytes.size() - at < size) return 0;
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value = value << 8 | static_cast<std::uint32_t>(bytes[at + (big_endian ? i : size - 1 - i)]);
  }
  return value;
}

bool BeginsWith(Bytes bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

// The segment at the beginning of `bytes`, marker included; empty at the first scan, at the end,
// and at what is no marker segment.
Bytes NextSegment(Bytes bytes) {
  if (bytes.size() < 4 || bytes[0] != std::byte{0xFF}) return {};
  const auto code = static_cast<unsigned>(bytes[1]);
  const std::size_t size = 2 + Number(bytes, 2, 2, true);
  // Codes below 0xC0, restart markers, SOI and EOI have no length.
  if (code < 0xC0 || (code >= 0xD0 && code <= kSos) || code == 0xFF) return {};
  return size < 4 || size > bytes.size() ? Bytes() : bytes.first(size);
}

// TIFF 6.0, section 2, and Exif 2.32, 4.6.4: the tag Orientation of the first directory.
int TiffOrientation(Bytes tiff) {
  constexpr std::uint32_t kOrientation = 0x0112;
  constexpr std::uint32_t kShort = 3;
  constexpr std::size_t kEntryBytes = 12;
  const bool big_endian = BeginsWith(tiff, "MM");
  if (!big_endian && !BeginsWith(tiff, "II")) return 1;
  if (Number(tiff, 2, 2, big_endian) != 42) return 1;
  const std::size_t directory = Number(tiff, 4, 4, big_endian);
  const std::size_t entries = Number(tiff, directory, 2, big_endian);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + i * kEntryBytes;
    if (Number(tiff, entry, 2, big_endian) != kOrientation) continue;
    const std::uint32_t value = Number(tiff, entry + 8, 2, big_endian);
    const bool makes_sense =
        Number(tiff, entry + 2, 2, big_endian) == kShort && value >= 1 && value <= 8;
    return makes_sense ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace

int ExifOrientation(Bytes jpeg) {
  constexpr std::string_view kExif("Exif\0\0", 6);
  if (jpeg.size() < 2) return 1;
  jpeg = jpeg.subspan(2);
  for (Bytes segment; !(segment = NextSegment(jpeg)).empty(); jpeg = jpeg.subspan(segment.size())) {
    const Bytes content = segment.subspan(4);
    if (static_cast<unsigned>(segment[1]) == kApp1 && BeginsWith(content, kExif)) {
      return TiffOrientation(content.subspan(kExif.size()));
    }
  }
  return 1;
}

std::vector<std::byte> WithoutMetadata(Bytes jpeg) {
  std::vector<std::byte> result;
  result.reserve(jpeg.size());
  const auto keep = [&result](Bytes bytes) {
    result.insert(result.end(), bytes.begin(), bytes.end());
  };
  if (jpeg.size() < 2) return {jpeg.begin(), jpeg.end()};
  keep(jpeg.first(2));
  jpeg = jpeg.subspan(2);
  for (Bytes segment; !(segment = NextSegment(jpeg)).empty(); jpeg = jpeg.subspan(segment.size())) {
    const auto code = static_cast<unsigned>(segment[1]);
    const bool is_metadata = code == kCom || (code > kApp0 && code <= kApp15 && code != kApp14);
    if (!is_metadata) keep(segment);
  }
  keep(jpeg);
  return result;
}

}  // namespace millrace::storage
