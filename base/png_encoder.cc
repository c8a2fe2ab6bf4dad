#include "base/png_encoder.h"

#include <png.h>

#include <csetjmp>

#include "base/check.h"

namespace millrace {
namespace {

// libpng's objects for one picture, and where they jump to at the first error.
struct Codec {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::jmp_buf escape{};
};

struct Settings {
  int filters = 0;
  int compression_level = 0;
};

// Enlarged pictures differ from the row above in few rows; 3 is deflate's last level without lazy
// matches.
Settings SettingsOf(PngEffort effort) {
  if (effort == PngEffort::kFast) return {.filters = PNG_FILTER_UP, .compression_level = 3};
  return {.filters = PNG_FILTER_PAETH, .compression_level = 6};
}

[[noreturn]] void Stop(png_structp png, png_const_charp) {
  std::longjmp(static_cast<Codec*>(png_get_error_ptr(png))->escape, 1);
}

void IgnoreWarning(png_structp, png_const_charp) {}

void KeepBytes(png_structp png, png_bytep from, std::size_t count) {
  auto& to = *static_cast<std::vector<std::byte>*>(png_get_io_ptr(png));
  const auto* bytes = reinterpret_cast<const std::byte*>(from);
  to.insert(to.end(), bytes, bytes + count);
}

void Flush(png_structp) {}

// The jump crosses this function, which has no local with a destructor; false: libpng refused.
bool WriteAll(Codec& codec, std::uint32_t width, std::uint32_t height, std::uint32_t channels,
              const std::uint8_t* pixels, Settings settings, std::vector<std::byte>* out) {
  if (setjmp(codec.escape) != 0) return false;
  codec.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &codec, Stop, IgnoreWarning);
  if (codec.png != nullptr) codec.info = png_create_info_struct(codec.png);
  if (codec.info == nullptr) return false;
  png_set_write_fn(codec.png, out, KeepBytes, Flush);
  png_set_user_limits(codec.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_filter(codec.png, PNG_FILTER_TYPE_BASE, settings.filters);
  png_set_compression_level(codec.png, settings.compression_level);
  png_set_compression_strategy(codec.png, 0);  // Z_DEFAULT_STRATEGY
  png_set_IHDR(codec.png, codec.info, width, height, 8,
               channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(codec.png, codec.info);
  for (std::uint32_t y = 0; y < height; ++y) {
    png_write_row(codec.png, pixels + std::size_t{channels} * width * y);
  }
  png_write_end(codec.png, nullptr);
  return true;
}

}  // namespace

std::vector<std::byte> EncodePng(std::uint32_t width, std::uint32_t height, std::uint32_t channels,
                                 std::span<const std::uint8_t> pixels, PngEffort effort) {
  MILLRACE_CHECK(channels == 1 || channels == 3);
  MILLRACE_CHECK(width > 0 && height > 0 &&
                 pixels.size() == std::size_t{channels} * width * height);
  std::vector<std::byte> out;
  Codec codec;
  const bool written =
      WriteAll(codec, width, height, channels, pixels.data(), SettingsOf(effort), &out);
  png_destroy_write_struct(&codec.png, &codec.info);
  // Pixels in memory leave nothing to go wrong but the memory itself.
  MILLRACE_CHECK(written);
  return out;
}

}  // namespace millrace
