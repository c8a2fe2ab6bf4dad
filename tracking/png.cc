#include "tracking/png.h"

#include <png.h>

#include <string>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"

namespace millrace::tracking {

std::string EncodePng(std::uint32_t width, std::uint32_t height,
                      std::span<const std::uint8_t> pixels) {
  MILLRACE_CHECK(width > 0 && height > 0 && pixels.size() == std::size_t{3} * width * height);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_RGB;
  // Room for the worst case: to ask for the size costs as much as to compress.
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string bytes(size, '\0');
  if (png_image_write_to_memory(&image, bytes.data(), &size, /*convert_to_8_bit=*/0, pixels.data(),
                                /*row_stride=*/0, /*colormap=*/nullptr) == 0) {
    const std::string reason = image.message;
    png_image_free(&image);
    Fail("cannot make a picture of {} x {}: {}", width, height, reason);
  }
  bytes.resize(size);
  return bytes;
}

void WritePng(const std::filesystem::path& path, std::uint32_t width, std::uint32_t height,
              std::span<const std::uint8_t> pixels) {
  WriteFileAtomically(path, EncodePng(width, height, pixels));
}

}  // namespace millrace::tracking
