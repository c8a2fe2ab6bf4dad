#include "storage/jpeg_encode.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "storage/jpeg_info.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

using test::Planes;

TEST(JpegEncode, BytesAreThoseOfLibjpegAtItsDefaults) {
  for (const auto& [planes, subsampling] :
       {std::pair{Planes::k420, Subsampling::k420}, {Planes::k444, Subsampling::k444}}) {
    for (const auto& [width, height] : {std::pair{1, 1}, {33, 17}, {64, 48}, {7, 100}}) {
      const auto expected = test::MakeJpeg(
          {.width = width, .height = height, .seed = 3, .planes = planes, .quality = 77});
      const auto pixels = test::MakePixels(width, height, 3);
      EXPECT_EQ(
          EncodeJpeg(pixels, static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height),
                     {.quality = 77, .subsampling = subsampling}),
          expected);
    }
  }
}

// Of each pixel the green value in all three channels.
std::vector<std::uint8_t> MakeGrayPixels(int width, int height) {
  auto pixels = test::MakePixels(width, height, 4);
  for (std::size_t i = 0; i < pixels.size(); i += 3) {
    pixels[i] = pixels[i + 2] = pixels[i + 1];
  }
  return pixels;
}

TEST(JpegEncode, GrayIsTheValueOfEqualChannels) {
  const auto expected =
      test::MakeJpeg({.width = 35, .height = 21, .seed = 4, .planes = Planes::kGray});
  EXPECT_EQ(EncodeJpeg(MakeGrayPixels(35, 21), 35, 21, {.subsampling = Subsampling::kGray}),
            expected);
}

TEST(JpegEncode, PlanesAreStoredAsTheyAre) {
  const auto pixels = MakeGrayPixels(35, 21);
  for (const auto subsampling : {Subsampling::kGray, Subsampling::k444, Subsampling::k420}) {
    YccPlanes planes;
    planes.Resize(35, 21, subsampling);
    ASSERT_EQ(planes.planes.size(), subsampling == Subsampling::kGray ? 1u : 3u);
    for (auto& plane : planes.planes) std::fill(plane.samples.begin(), plane.samples.end(), 128);
    // Edges go on as libjpeg itself lets them go on.
    YccPlanes::Plane& luminance = planes.planes[0];
    for (std::uint32_t y = 0; y < luminance.rows; ++y) {
      for (std::uint32_t x = 0; x < luminance.stride; ++x) {
        const std::size_t at = std::min(y, 20u) * 35 + std::min(x, 34u);
        luminance.samples[y * luminance.stride + x] = pixels[at * 3];
      }
    }
    // Gray pixels have neutral chroma, so that both ways lead to the same file.
    const JpegEncoding encoding{.quality = 88, .subsampling = subsampling};
    EXPECT_EQ(EncodeJpeg(planes, encoding), EncodeJpeg(pixels, 35, 21, encoding));
  }
}

TEST(JpegEncode, LargerThanItsPixelsIsWhole) {
  // Noise at the highest quality takes more bytes than there are pixels.
  auto pixels = test::MakePixels(200, 200, 1);
  std::uint32_t state = 1;
  for (auto& value : pixels)
    value = static_cast<std::uint8_t>((state = state * 1664525 + 1013904223) >> 24);
  const auto jpeg =
      EncodeJpeg(pixels, 200, 200, {.quality = 100, .subsampling = Subsampling::k444});
  EXPECT_GT(jpeg.size(), 50'000u);
  EXPECT_TRUE(CheckJpeg(jpeg).ok());
}

}  // namespace
}  // namespace millrace::storage
