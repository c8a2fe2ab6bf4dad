#include "storage/png_picture.h"

#include <png.h>

#include <array>
#include <csetjmp>
#include <cstring>

#include "base/check.h"
#include "base/png_encoder.h"

namespace millrace::storage {
namespace {

// What deflate makes of one byte at most.
constexpr std::uint64_t kMaxExpansion = 1032;

// libpng's objects for one picture, and where they jump to at the first error.
struct Codec {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::jmp_buf escape{};
  std::array<char, 128> message{};

  // While reading:
  std::span<const std::byte> bytes;
  std::size_t at = 0;
  bool ended_early = false;
  png_uint_32 width = 0;
  png_uint_32 height = 0;
  int depth = 0;
  int kind = 0;  // PNG_COLOR_TYPE_...
  int interlace = 0;
};

[[noreturn]] void Stop(png_structp png, png_const_charp message) {
  Codec& codec = *static_cast<Codec*>(png_get_error_ptr(png));
  std::strncpy(codec.message.data(), message, codec.message.size() - 1);
  std::longjmp(codec.escape, 1);
}

// Warnings are about chunks that are passed over.
void IgnoreWarning(png_structp, png_const_charp) {}

void TakeBytes(png_structp png, png_bytep to, std::size_t count) {
  Codec& codec = *static_cast<Codec*>(png_get_io_ptr(png));
  if (codec.bytes.size() - codec.at < count) {
    codec.ended_early = true;
    png_error(png, "the file ends early");
  }
  std::memcpy(to, codec.bytes.data() + codec.at, count);
  codec.at += count;
}

// The jump crosses the next four functions, the only ones in which libpng may find an error: none
// has a local with a destructor. They answer false when it did.

bool ReadHeader(Codec& codec) {
  if (setjmp(codec.escape) != 0) return false;
  codec.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &codec, Stop, IgnoreWarning);
  if (codec.png != nullptr) codec.info = png_create_info_struct(codec.png);
  if (codec.info == nullptr) return false;
  png_set_read_fn(codec.png, &codec, TakeBytes);
  png_set_benign_errors(codec.png, 1);
  // The limits are ours, and so are their words.
  png_set_user_limits(codec.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  // Of interest are IHDR, PLTE, IDAT and IEND: no text to unpack, no gamma, no transparency.
  png_set_keep_unknown_chunks(codec.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_keep_unknown_chunks(codec.png, PNG_HANDLE_CHUNK_NEVER,
                              reinterpret_cast<png_const_bytep>("tRNS"), 1);
  png_read_info(codec.png, codec.info);
  png_get_IHDR(codec.png, codec.info, &codec.width, &codec.height, &codec.depth, &codec.kind,
               &codec.interlace, nullptr, nullptr);
  return true;
}

// Asks for one or three channels of 8 bits; gray of 16 bits stays as it is.
bool Simplify(Codec& codec) {
  if (setjmp(codec.escape) != 0) return false;
  if (codec.kind == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(codec.png);
  if (codec.kind == PNG_COLOR_TYPE_GRAY) {
    if (codec.depth < 8) png_set_expand_gray_1_2_4_to_8(codec.png);
  } else if (codec.depth == 16) {
    png_set_strip_16(codec.png);
  }
  if ((codec.kind & PNG_COLOR_MASK_ALPHA) != 0) png_set_strip_alpha(codec.png);
  return true;
}

// Decodes all rows, one behind the other into `to`, and what follows them. With `row_bytes` 0 each
// row overwrites the last.
bool ReadAll(Codec& codec, std::uint8_t* to, std::size_t row_bytes) {
  if (setjmp(codec.escape) != 0) return false;
  for (int pass = png_set_interlace_handling(codec.png); pass > 0; --pass) {
    for (png_uint_32 y = 0; y < codec.height; ++y) {
      png_read_row(codec.png, to + y * row_bytes, nullptr);
    }
  }
  png_read_end(codec.png, nullptr);
  return true;
}

// Decodes rows as RGB, each into `row`, and copies what lies in the region.
bool ReadRegion(Codec& codec, const PngRegion& region, std::uint8_t* row, std::uint8_t* out,
                std::size_t out_row_bytes) {
  if (setjmp(codec.escape) != 0) return false;
  if (codec.kind == PNG_COLOR_TYPE_GRAY) png_set_gray_to_rgb(codec.png);
  for (png_uint_32 y = 0; y < region.y + region.height; ++y) {
    png_read_row(codec.png, row, nullptr);
    if (y < region.y) continue;
    std::memcpy(out + (y - region.y) * out_row_bytes, row + std::size_t{region.x} * 3,
                std::size_t{region.width} * 3);
  }
  return true;
}

// A picture being read: releases what libpng holds of it.
class Reading {
 public:
  explicit Reading(std::span<const std::byte> bytes) { codec_.bytes = bytes; }
  ~Reading() { png_destroy_read_struct(&codec_.png, &codec_.info, nullptr); }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  Codec& codec() { return codec_; }

  // Why libpng stopped.
  Fault Explain() const {
    if (codec_.ended_early) return Fault{"a truncated PNG: the file ends before the picture does"};
    return MakeFault("a corrupt PNG ({})", codec_.message.data());
  }

  // Reads the header and refuses sizes that nobody should make room for.
  Outcome Begin() {
    if (!IsPng(codec_.bytes)) return Fault{"not a PNG"};
    if (!ReadHeader(codec_)) return Explain();
    if (std::uint64_t{codec_.width} * codec_.height > kMaxHeldPixels) {
      return Fault{"a PNG of more than 64 million pixels; make it smaller"};
    }
    const std::uint64_t row_bytes = png_get_rowbytes(codec_.png, codec_.info);
    codec_.ended_early = row_bytes * codec_.height / kMaxExpansion > codec_.bytes.size();
    if (codec_.ended_early) return Explain();
    return Ok();
  }

  // The same for a payload.
  Outcome BeginPayload() {
    if (Outcome begun = Begin(); !begun) return begun;
    if (codec_.depth != 8 || codec_.interlace != PNG_INTERLACE_NONE ||
        (codec_.kind != PNG_COLOR_TYPE_GRAY && codec_.kind != PNG_COLOR_TYPE_RGB)) {
      return Fault{"a PNG of another kind than conversion writes (8 bits, gray or RGB)"};
    }
    return Ok();
  }

  PngInfo info() const {
    return {
        .width = codec_.width, .height = codec_.height, .gray = codec_.kind == PNG_COLOR_TYPE_GRAY};
  }

 private:
  Codec codec_;
};

// Gray of 16 bits, big-endian, to 8: cut off, not scaled, as Pillow's I;16 becomes RGB.
void CutOff(std::vector<std::uint8_t>* bytes) {
  const std::size_t count = bytes->size() / 2;
  for (std::size_t i = 0; i < count; ++i) {
    (*bytes)[i] = (*bytes)[2 * i] == 0 ? (*bytes)[2 * i + 1] : std::uint8_t{255};
  }
  bytes->resize(count);
}

}  // namespace

bool IsPng(std::span<const std::byte> bytes) {
  constexpr std::array<unsigned char, 8> kSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  return bytes.size() >= kSignature.size() &&
         std::memcmp(bytes.data(), kSignature.data(), kSignature.size()) == 0;
}

std::uint64_t AnnouncedPngPixels(std::span<const std::byte> bytes) {
  constexpr std::size_t kWidthAt = 16;  // behind the signature and the head of IHDR
  if (!IsPng(bytes) || bytes.size() < kWidthAt + 8) return 0;
  const auto number = [&](std::size_t at) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 4; ++i)
      value = value << 8 | std::to_integer<unsigned>(bytes[at + i]);
    return value;
  };
  return number(kWidthAt) * number(kWidthAt + 4);
}

Result<Pixels> ReadPng(std::span<const std::byte> bytes, std::size_t* end) {
  Reading reading(bytes);
  if (const Outcome begun = reading.Begin(); !begun) return begun.fault();
  Codec& codec = reading.codec();
  if (!Simplify(codec)) return reading.Explain();
  const bool one_channel = (codec.kind & PNG_COLOR_MASK_COLOR) == 0;
  const bool wide = codec.kind == PNG_COLOR_TYPE_GRAY && codec.depth == 16;
  Pixels pixels{
      .width = codec.width, .height = codec.height, .channels = one_channel ? 1u : 3u, .bytes = {}};
  const std::size_t row_bytes = pixels.row_bytes() * (wide ? 2 : 1);
  pixels.bytes.resize(row_bytes * pixels.height);
  if (!ReadAll(codec, pixels.bytes.data(), row_bytes)) return reading.Explain();
  if (wide) CutOff(&pixels.bytes);
  if (end != nullptr) *end = codec.at;
  return pixels;
}

std::vector<std::byte> MakePngPayload(const Pixels& pixels) {
  return EncodePng(pixels.width, pixels.height, pixels.channels, pixels.bytes, PngEffort::kSmall);
}

Result<PngInfo> ReadPngInfo(std::span<const std::byte> bytes) {
  Reading reading(bytes);
  if (const Outcome begun = reading.BeginPayload(); !begun) return begun.fault();
  return reading.info();
}

Result<PngInfo> CheckPngPayload(std::span<const std::byte> bytes) {
  Reading reading(bytes);
  if (const Outcome begun = reading.BeginPayload(); !begun) return begun.fault();
  std::vector<std::uint8_t> row(png_get_rowbytes(reading.codec().png, reading.codec().info));
  if (!ReadAll(reading.codec(), row.data(), 0)) return reading.Explain();
  return reading.info();
}

Outcome ReadPngRegion(std::span<const std::byte> bytes, const PngRegion& region, std::uint8_t* out,
                      std::size_t row_bytes) {
  MILLRACE_CHECK(region.width > 0 && region.height > 0);
  Reading reading(bytes);
  if (Outcome begun = reading.BeginPayload(); !begun) return begun;
  const PngInfo info = reading.info();
  MILLRACE_CHECK(region.width <= info.width && region.x <= info.width - region.width);
  MILLRACE_CHECK(region.height <= info.height && region.y <= info.height - region.height);
  std::vector<std::uint8_t> row(std::size_t{info.width} * 3);
  if (!ReadRegion(reading.codec(), region, row.data(), out, row_bytes)) return reading.Explain();
  return Ok();
}

}  // namespace millrace::storage
