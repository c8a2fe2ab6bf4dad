// PNG files of any kind, also of kinds that no sane program writes: put together from chunks.
#pragma once

#include <png.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace millrace::test {

struct PngSpec {
  std::uint32_t width = 20;       // [pixels]
  std::uint32_t height = 14;      // [pixels]
  int depth = 8;                  // bits per sample, or per index
  int kind = PNG_COLOR_TYPE_RGB;  // PNG_COLOR_TYPE_...
  bool interlaced = false;
};

// A PNG whose samples count up, with a palette of reds where its kind has one.
inline std::vector<std::byte> MakePngOf(const PngSpec& spec) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  MILLRACE_CHECK(png != nullptr && info != nullptr);  // what else fails aborts
  std::vector<std::byte> out;
  png_set_write_fn(
      png, &out,
      [](png_structp from, png_bytep bytes, std::size_t count) {
        auto& to = *static_cast<std::vector<std::byte>*>(png_get_io_ptr(from));
        to.insert(to.end(), reinterpret_cast<std::byte*>(bytes),
                  reinterpret_cast<std::byte*>(bytes) + count);
      },
      [](png_structp) {});
  png_set_IHDR(png, info, spec.width, spec.height, spec.depth, spec.kind,
               spec.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  std::array<png_color, 256> palette{};
  for (std::size_t i = 0; i < palette.size(); ++i) palette[i].red = static_cast<png_byte>(i);
  if (spec.kind == PNG_COLOR_TYPE_PALETTE) {
    png_set_PLTE(png, info, palette.data(), 1 << spec.depth);
  }
  png_write_info(png, info);
  std::vector<png_byte> row(png_get_rowbytes(png, info));
  for (int pass = png_set_interlace_handling(png); pass > 0; --pass) {
    for (std::uint32_t y = 0; y < spec.height; ++y) {
      for (std::size_t i = 0; i < row.size(); ++i) {
        row[i] = static_cast<png_byte>(y * row.size() + i);
      }
      png_write_row(png, row.data());
    }
  }
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return out;
}

// Writes a number into a PNG, big-endian.
inline void PutU32(std::vector<std::byte>* png, std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) {
    (*png)[at + i] = static_cast<std::byte>(value >> (24 - 8 * i));
  }
}

// Announces another size in the header, with its checksum put right.
inline void SetPngSize(std::vector<std::byte>* png, std::uint32_t width, std::uint32_t height) {
  constexpr std::size_t kName = 12;  // of IHDR
  constexpr std::size_t kCrc = 29;
  PutU32(png, kName + 4, width);
  PutU32(png, kName + 8, height);
  std::uint32_t crc = 0xFFFFFFFF;  // annex D of the PNG specification
  for (std::size_t i = kName; i < kCrc; ++i) {
    crc ^= static_cast<std::uint32_t>((*png)[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0u);
  }
  PutU32(png, kCrc, ~crc);
}

}  // namespace millrace::test
