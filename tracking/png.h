// Pictures as PNG files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace millrace::tracking {

// The bytes of a PNG file of uint8 [height, width, 3] RGB pixels without padding. REQUIRES:
// pixels.size() == width * height * 3, both > 0
std::string EncodePng(std::uint32_t width, std::uint32_t height,
                      std::span<const std::uint8_t> pixels);

// Writes uint8 [height, width, 3] RGB pixels without padding, atomically. Throws Error naming the
// path. REQUIRES: pixels.size() == width * height * 3, both > 0
void WritePng(const std::filesystem::path& path, std::uint32_t width, std::uint32_t height,
              std::span<const std::uint8_t> pixels);

}  // namespace millrace::tracking
