#include "storage/foreign_picture.h"

#include <utility>

#include "storage/jpeg_decoder.h"
#include "storage/jpeg_info.h"
#include "storage/png_picture.h"
#include "storage/record_view.h"

namespace millrace::storage {
namespace {

constexpr std::size_t kInks = 4;

bool IsCmyk(JpegColor color) { return color == JpegColor::kCmyk || color == JpegColor::kYcck; }

// Inverted inks to RGB in place, with the rounding of cmyk2rgb in Pillow's
// src/libImaging/Convert.c.
void InksToRgb(std::vector<std::uint8_t>* bytes) {
  const std::size_t count = bytes->size() / kInks;
  const std::uint8_t* inks = bytes->data();
  std::uint8_t* rgb = bytes->data();
  for (std::size_t i = 0; i < count; ++i, inks += kInks) {
    const int light = inks[3];  // what black leaves
    for (int c = 0; c < 3; ++c) {
      const int product = (255 - inks[c]) * light + 128;
      *rgb++ = static_cast<std::uint8_t>(light - (((product >> 8) + product) >> 8));
    }
  }
  bytes->resize(count * 3);
}

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
  JpegDecoder decoder(bytes, OnDamage::kRepair);
  if (!decoder.ReadHeader()) return decoder.Explain();
  const JpegInfo& info = decoder.info();
  if (!IsCmyk(info.color)) return Fault{"not a CMYK JPEG"};
  if (info.pixels() > kMaxHeldPixels) {
    return Fault{"a CMYK JPEG of more than 64 million pixels; make it smaller"};
  }
  Pixels pixels{.width = info.width, .height = info.height, .channels = 3, .bytes = {}};
  pixels.bytes.resize(info.pixels() * kInks);
  if (!decoder.ReadInks(pixels.bytes.data())) return decoder.Explain();
  InksToRgb(&pixels.bytes);
  ForeignPicture picture{.pixels = std::move(pixels), .repairs = kCmyk | decoder.damage()};
  if (decoder.trailing_bytes() > 0) picture.repairs |= kTrailingBytes;
  return picture;
}

}  // namespace

ForeignKind ForeignKindOf(std::span<const std::byte> bytes) {
  if (IsPng(bytes)) return ForeignKind::kPng;
  const Result<JpegInfo> info = ReadJpegInfo(bytes);
  if (!info || !IsCmyk(info->color)) return ForeignKind::kNone;
  return info->color == JpegColor::kCmyk ? ForeignKind::kCmykJpeg : ForeignKind::kYcckJpeg;
}

Result<ForeignPicture> ReadForeignPicture(std::span<const std::byte> bytes) {
  Result<ForeignPicture> picture = IsPng(bytes) ? FromPng(bytes) : FromCmykJpeg(bytes);
  if (picture) DropEqualChannels(&picture->pixels);
  return picture;
}

}  // namespace millrace::storage
