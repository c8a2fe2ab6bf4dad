#include "storage/picture_repair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "storage/cmyk_jpeg.h"
#include "storage/png_picture.h"
#include "tests/support/png_bytes.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

using test::MakeJpeg;
using test::MakePngOf;
using test::Planes;
using testing::HasSubstr;
using Bytes = std::vector<std::byte>;

Bytes FromText(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

TEST(PictureRepair, IsForPngsAndJpegsOfFourPlanes) {
  EXPECT_TRUE(NeedsPng(test::MakePng(5, 5, 1)));
  EXPECT_TRUE(NeedsPng(MakeJpeg({.planes = Planes::kCmyk})));
  EXPECT_TRUE(NeedsPng(MakeJpeg({.planes = Planes::kYcck, .progressive = true})));
  EXPECT_FALSE(NeedsPng(MakeJpeg()));
  EXPECT_FALSE(NeedsPng(MakeJpeg({.planes = Planes::kGray})));
  EXPECT_FALSE(NeedsPng({}));
  EXPECT_FALSE(NeedsPng(FromText("GIF89a, that nobody turns into anything")));
  EXPECT_FALSE(NeedsPng(FromText("<!DOCTYPE html><html>404")));
}

TEST(PictureRepair, CmykKeepsItsColours) {
  const auto rgb = test::MakePixels(48, 40, 1);
  for (const auto planes : {Planes::kCmyk, Planes::kYcck}) {
    for (const bool progressive : {false, true}) {
      const auto repaired =
          RepairPicture(MakeJpeg({.planes = planes, .quality = 98, .progressive = progressive}));
      ASSERT_TRUE(repaired.ok()) << repaired.fault().message;
      EXPECT_EQ(repaired->width, 48u);
      EXPECT_EQ(repaired->height, 40u);
      EXPECT_EQ(repaired->subsampling, Subsampling::kUnknown);
      EXPECT_EQ(repaired->repairs, kCmyk);
      const auto pixels = ReadPng(repaired->payload);
      ASSERT_EQ(pixels->bytes.size(), rgb.size());
      int largest = 0;
      for (std::size_t i = 0; i < rgb.size(); ++i) {
        largest = std::max(largest, std::abs(int{rgb[i]} - int{pixels->bytes[i]}));
      }
      EXPECT_LT(largest, 16);
    }
  }
}

TEST(PictureRepair, TruncatedAndCorruptCmykIsToldAndKept) {
  const Bytes good = MakeJpeg({.planes = Planes::kCmyk});
  Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(good.size() * 3 / 4));
  EXPECT_EQ(RepairPicture(cut)->repairs, kCmyk | kTruncated);
  Bytes damaged = good;
  const auto scan = static_cast<std::ptrdiff_t>(test::FindScans(good)[0]);
  std::fill(damaged.begin() + scan + 60, damaged.begin() + scan + 160, std::byte{0x55});
  EXPECT_EQ(RepairPicture(damaged)->repairs, kCmyk | kCorrupt);
  Bytes longer = good;
  longer.resize(longer.size() + 3);
  EXPECT_EQ(RepairPicture(longer)->repairs, kCmyk | kTrailingBytes);
  EXPECT_EQ(RepairPicture(longer)->payload, RepairPicture(good)->payload);
}

TEST(PictureRepair, CmykWithoutAHeaderIsAFault) {
  const Bytes good = MakeJpeg({.planes = Planes::kCmyk});
  const Bytes head(good.begin(), good.begin() + 40);
  EXPECT_FALSE(NeedsPng(head));
  EXPECT_THAT(RepairPicture(head).fault().message, HasSubstr("a corrupt JPEG ("));
  EXPECT_EQ(RepairPicture(MakeJpeg()).fault().message, "not a CMYK JPEG");
  EXPECT_THAT(RepairPicture({}).fault().message, HasSubstr("Empty input file"));
}

TEST(PictureRepair, AbsurdCmykIsRefusedBeforeItCostsMemory) {
  Bytes jpeg = MakeJpeg({.planes = Planes::kCmyk});
  const Bytes sof = {std::byte{0xFF}, std::byte{0xC0}};
  const auto at = std::search(jpeg.begin(), jpeg.end(), sof.begin(), sof.end());
  ASSERT_NE(at, jpeg.end());
  std::fill_n(at + 5, 4, std::byte{0xEA});  // 60138 x 60138
  EXPECT_EQ(RepairPicture(jpeg).fault().message,
            "a CMYK JPEG of more than 64 million pixels; make it smaller");
}

TEST(PictureRepair, PngIsStoredAgainWithItsBitsSet) {
  const auto repaired = RepairPicture(MakePngOf({.depth = 16, .interlaced = true}));
  ASSERT_TRUE(repaired.ok());
  EXPECT_EQ(repaired->repairs, kOtherFormat);
  EXPECT_EQ(repaired->subsampling, Subsampling::kUnknown);
  EXPECT_TRUE(CheckPngPayload(repaired->payload).ok());
  Bytes longer = MakePngOf({});
  longer.resize(longer.size() + 3);
  EXPECT_EQ(RepairPicture(longer)->repairs, kOtherFormat | kTrailingBytes);
}

TEST(PictureRepair, GrayInThreeChannelsIsStoredAsGray) {
  Pixels pixels{.width = 9, .height = 5, .channels = 3, .bytes = std::vector<std::uint8_t>(135)};
  for (std::size_t i = 0; i < pixels.bytes.size(); ++i) {
    pixels.bytes[i] = static_cast<std::uint8_t>(5 * (i / 3));
  }
  const auto gray = RepairPicture(MakePngPayload(pixels));
  EXPECT_EQ(gray->subsampling, Subsampling::kGray);
  EXPECT_TRUE(ReadPngInfo(gray->payload)->gray);
  const auto read = ReadPng(gray->payload);
  for (std::size_t i = 0; i < 45; ++i) ASSERT_EQ(read->bytes[i], 5 * i);
  pixels.bytes.back() ^= 1;
  EXPECT_EQ(RepairPicture(MakePngPayload(pixels))->subsampling, Subsampling::kUnknown);
}

TEST(PictureRepair, FaultsOfAPngStay) {
  Bytes png = test::MakePng(20, 20, 1);
  png.resize(png.size() - 20);
  EXPECT_EQ(RepairPicture(png).fault().message,
            "a truncated PNG: the file ends before the picture does");
}

}  // namespace
}  // namespace millrace::storage
