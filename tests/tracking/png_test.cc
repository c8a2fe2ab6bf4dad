#include "tracking/png.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace::tracking {
namespace {

std::vector<std::uint8_t> Noise(std::uint32_t width, std::uint32_t height) {
  RandomStream random({.seed = width, .sample_id = height}, 0);
  std::vector<std::uint8_t> pixels(std::size_t{3} * width * height);
  for (auto& value : pixels) value = static_cast<std::uint8_t>(random.Below(256));
  return pixels;
}

struct Picture {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::vector<std::uint8_t> pixels;
};

Picture ReadPng(const std::filesystem::path& path) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_file(&image, path.c_str()), 0) << image.message;
  EXPECT_EQ(image.format, static_cast<png_uint_32>(PNG_FORMAT_RGB));
  Picture picture{image.width, image.height, {}};
  picture.pixels.resize(PNG_IMAGE_SIZE(image));
  EXPECT_NE(png_image_finish_read(&image, nullptr, picture.pixels.data(), 0, nullptr), 0)
      << image.message;
  return picture;
}

TEST(Png, PixelsReadBackAreThoseWritten) {
  const test::TemporaryFolder folder;
  for (const auto& [width, height] : std::vector<std::pair<std::uint32_t, std::uint32_t>>{
           {1, 1}, {1, 9}, {7, 1}, {33, 21}, {300, 200}}) {
    const auto pixels = Noise(width, height);
    WritePng(folder / "x.png", width, height, pixels);
    const Picture picture = ReadPng(folder / "x.png");
    EXPECT_EQ(picture.width, width);
    EXPECT_EQ(picture.height, height);
    EXPECT_EQ(picture.pixels, pixels) << width << "x" << height;
  }
}

TEST(Png, SamePixelsGiveTheSameFile) {
  const test::TemporaryFolder folder;
  WritePng(folder / "a.png", 20, 10, Noise(20, 10));
  WritePng(folder / "b.png", 20, 10, Noise(20, 10));
  EXPECT_EQ(ReadFile(folder / "a.png"), ReadFile(folder / "b.png"));
}

TEST(Png, FileThatCannotBeWrittenIsNamedAndNothingIsLeft) {
  const test::TemporaryFolder folder;
  const auto path = folder / "no/where.png";
  EXPECT_THAT(test::ErrorOf([&] { WritePng(path, 2, 2, Noise(2, 2)); }),
              testing::HasSubstr((folder / "no/where.png").string()));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace millrace::tracking
