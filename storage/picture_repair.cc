#include "storage/picture_repair.h"

#include "storage/cmyk_jpeg.h"
#include "storage/png_picture.h"

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

RepairedPicture Pack(Pixels pixels, std::uint32_t repairs) {
  DropEqualChannels(&pixels);
  return {.payload = MakePngPayload(pixels),
          .width = pixels.width,
          .height = pixels.height,
          .subsampling = pixels.channels == 1 ? Subsampling::kGray : Subsampling::kUnknown,
          .repairs = repairs};
}

}  // namespace

bool NeedsPng(std::span<const std::byte> bytes) { return IsPng(bytes) || IsCmykJpeg(bytes); }

Result<RepairedPicture> RepairPicture(std::span<const std::byte> bytes) {
  if (IsPng(bytes)) {
    std::size_t end = 0;
    Result<Pixels> pixels = ReadPng(bytes, &end);
    if (!pixels) return pixels.fault();
    std::uint32_t repairs = kOtherFormat;
    if (end < bytes.size()) repairs |= kTrailingBytes;
    return Pack(std::move(pixels).value(), repairs);
  }
  Result<CmykPicture> picture = ReadCmykJpeg(bytes);
  if (!picture) return picture.fault();
  return Pack(std::move(picture->pixels), kCmyk | picture->repairs);
}

}  // namespace millrace::storage
