#include "tracking/png.h"

#include <string>
#include <vector>

#include "base/file.h"
#include "base/png_encoder.h"

namespace millrace::tracking {

std::string EncodePng(std::uint32_t width, std::uint32_t height,
                      std::span<const std::uint8_t> pixels) {
  const std::vector<std::byte> bytes =
      millrace::EncodePng(width, height, /*channels=*/3, pixels, PngEffort::kFast);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void WritePng(const std::filesystem::path& path, std::uint32_t width, std::uint32_t height,
              std::span<const std::uint8_t> pixels) {
  WriteFileAtomically(path, EncodePng(width, height, pixels));
}

}  // namespace millrace::tracking
