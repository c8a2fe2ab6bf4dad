#include "base/png_encoder.h"

#include <gtest/gtest.h>
#include <png.h>

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace millrace {
namespace {

std::vector<std::uint8_t> Decoded(const std::vector<std::byte>& file, std::uint32_t width,
                                  std::uint32_t height, png_uint_32 format) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_memory(&image, file.data(), file.size()), 0);
  EXPECT_EQ(image.width, width);
  EXPECT_EQ(image.height, height);
  EXPECT_EQ(image.format, format) << "stored as it is";
  std::vector<std::uint8_t> pixels(PNG_IMAGE_SIZE(image));
  EXPECT_NE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr), 0);
  return pixels;
}

TEST(PngEncoder, PixelsReadBackAreThoseWritten) {
  for (const std::uint32_t channels : {1u, 3u}) {
    for (const auto& [width, height] : {std::pair{1u, 1u}, {1u, 300u}, {257u, 33u}}) {
      std::vector<std::uint8_t> pixels(std::size_t{channels} * width * height);
      for (std::size_t i = 0; i < pixels.size(); ++i) {
        pixels[i] = static_cast<std::uint8_t>(i * i / 7);
      }
      for (const PngEffort effort : {PngEffort::kSmall, PngEffort::kFast}) {
        const auto file = EncodePng(width, height, channels, pixels, effort);
        EXPECT_EQ(Decoded(file, width, height, channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB),
                  pixels);
        EXPECT_EQ(EncodePng(width, height, channels, pixels, effort), file);
      }
    }
  }
}

TEST(PngEncoder, RowsThatRepeatAreNearlyNothing) {
  std::vector<std::uint8_t> row(3 * 1000);
  std::iota(row.begin(), row.end(), std::uint8_t{0});
  std::vector<std::uint8_t> pixels;
  for (int y = 0; y < 100; ++y) pixels.insert(pixels.end(), row.begin(), row.end());
  EXPECT_LT(EncodePng(1000, 100, 3, pixels, PngEffort::kFast).size(), pixels.size() / 50);
}

}  // namespace
}  // namespace millrace
