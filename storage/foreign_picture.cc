#include "storage/foreign_picture.h"

#include <utility>

#include "storage/cmyk_jpeg.h"
#include "storage/png_picture.h"
#include "storage/record_view.h"

namespace millrace::storage {
namespace {

// Keeps one of three channels that are all equal.
void DropEqualChannels(Pixels* pixels) {
  if (pixels->channels != 3) return;
  auto& bytes = pixels->bytes;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    if (bytes[i] != bytes[i + 1] || bytes[i] != bytes[i + 2]) return;
  }
  for (std::size_t i = 0; i < bytes.size(); i += 3) bytes[i / 3] = bytes[i];
  bytes.resize(bytes.size() / 3);
  pixels->channels = 1;
}

Result<ForeignPicture> FromPng(std::span<const std::byte> bytes) {
  std::size_t end = 0;
  Result<Pixels> pixels = ReadPng(bytes, &end);
  if (!pixels) return pixels.fault();
  ForeignPicture picture{.pixels = std::move(pixels).value(), .repairs = kOtherFormat};
  if (end < bytes.size()) picture.repairs |= kTrailingBytes;
  return picture;
}

Result<ForeignPicture> FromCmykJpeg(std::span<const std::byte> bytes) {
  Result<CmykPicture> picture = ReadCmykJpeg(bytes);
  if (!picture) return picture.fault();
  return ForeignPicture{.pixels = std::move(picture->pixels), .repairs = kCmyk | picture->repairs};
}

}  // namespace

ForeignKind ForeignKindOf(std::span<const std::byte> bytes) {
  if (IsPng(bytes)) return ForeignKind::kPng;
  return IsCmykJpeg(bytes) ? ForeignKind::kCmykJpeg : ForeignKind::kNone;
}

Result<ForeignPicture> ReadForeignPicture(std::span<const std::byte> bytes) {
  Result<ForeignPicture> picture = IsPng(bytes) ? FromPng(bytes) : FromCmykJpeg(bytes);
  if (picture) DropEqualChannels(&picture->pixels);
  return picture;
}

}  // namespace millrace::storage
