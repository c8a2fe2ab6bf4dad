#include "storage/jpeg_info.h"

#include "storage/jpeg_decoder.h"

namespace millrace::storage {

std::string_view SniffFormat(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("\xFF\xD8")) return "a JPEG image";
  if (text.starts_with("\x89PNG")) return "a PNG image";
  if (text.starts_with("GIF8")) return "a GIF image";
  if (text.starts_with("BM")) return "a BMP image";
  if (text.starts_with("RIFF") && text.substr(0, 12).ends_with("WEBP")) return "a WebP image";
  if (text.starts_with(std::string_view("II*\0", 4)) ||
      text.starts_with(std::string_view("MM\0*", 4))) {
    return "a TIFF image";
  }
  const std::string_view brand = text.substr(0, 12);
  if (brand.ends_with("ftypavif")) return "an AVIF image";
  if (brand.ends_with("ftypheic") || brand.ends_with("ftypmif1")) return "a HEIF image";
  if (text.starts_with(std::string_view("\0\0\0\x0CjP  ", 8))) return "a JPEG 2000 image";
  if (text.size() > 2 && text[0] == 'P' && text[1] >= '1' && text[1] <= '6' &&
      (text[2] == '\n' || text[2] == ' ')) {
    return "a PNM image";
  }
  const auto first_word = text.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (first_word != std::string_view::npos) {
    const std::string_view start = text.substr(first_word, 14);
    for (const std::string_view tag : {"<!DOCTYPE html", "<!doctype html", "<html", "<HTML"}) {
      if (start.starts_with(tag)) return "an HTML page";
    }
    if (start.starts_with("<svg") || start.starts_with("<?xml")) return "an XML or SVG file";
  }
  return "";
}

const char* WhyNotStored(JpegColor color) {
  switch (color) {
    case JpegColor::kGray:
    case JpegColor::kYcc:
    case JpegColor::kRgb:
      return nullptr;
    case JpegColor::kCmyk:
      return "a CMYK JPEG, which is not supported; convert it to RGB";
    case JpegColor::kYcck:
      return "a YCCK JPEG, which is not supported; convert it to RGB";
    case JpegColor::kOther:
      break;
  }
  return "a JPEG of an unknown colour space; convert it to RGB";
}

Result<JpegInfo> ReadJpegInfo(std::span<const std::byte> bytes) {
  JpegDecoder decoder(bytes, OnDamage::kRepair);
  if (!decoder.ReadHeader()) return decoder.Explain();
  return decoder.info();
}

Result<JpegInfo> CheckJpeg(std::span<const std::byte> bytes) {
  JpegDecoder decoder(bytes, OnDamage::kFault);
  if (!decoder.ReadHeader()) return decoder.Explain();
  if (const char* reason = WhyNotStored(decoder.info().color)) return Fault{reason};
  if (decoder.info().arithmetic) {
    return Fault{
        "an arithmetic-coded JPEG, which is not supported; convert it to a Huffman-coded one"};
  }
  if (!decoder.Check()) return decoder.Explain();
  return decoder.info();
}

}  // namespace millrace::storage
