#include "storage/foreign_picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "storage/png_picture.h"
#include "storage/record_view.h"
#include "tests/support/bytes.h"
#include "tests/support/png_bytes.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

using test::Bytes;
using test::FromText;
using test::MakeJpeg;
using test::MakePngOf;
using test::Planes;
using testing::HasSubstr;

TEST(ForeignPicture, KindsArePngsAndJpegsOfFourPlanes) {
  EXPECT_EQ(ForeignKindOf(test::MakePng(5, 5, 1)), ForeignKind::kPng);
  EXPECT_EQ(ForeignKindOf(MakeJpeg({.planes = Planes::kCmyk})), ForeignKind::kCmykJpeg);
  EXPECT_EQ(ForeignKindOf(MakeJpeg({.planes = Planes::kYcck, .progressive = true})),
            ForeignKind::kYcckJpeg);
  for (const auto& none :
       {MakeJpeg(), MakeJpeg({.planes = Planes::kGray}), Bytes{},
        FromText("GIF89a, that nobody turns into anything"), FromText("<!DOCTYPE html><html>")}) {
    EXPECT_EQ(ForeignKindOf(none), ForeignKind::kNone);
  }
}

TEST(ForeignPicture, CmykKeepsItsColours) {
  const auto rgb = test::MakePixels(48, 40, 1);
  for (const auto planes : {Planes::kCmyk, Planes::kYcck}) {
    for (const bool progressive : {false, true}) {
      const auto picture = ReadForeignPicture(
          MakeJpeg({.planes = planes, .quality = 98, .progressive = progressive}));
      ASSERT_TRUE(picture.ok()) << picture.fault().message;
      EXPECT_EQ(picture->repairs, kCmyk);
      const Pixels& pixels = picture->pixels;
      EXPECT_EQ(pixels.width, 48u);
      EXPECT_EQ(pixels.height, 40u);
      ASSERT_EQ(pixels.bytes.size(), rgb.size());
      int largest = 0;
      for (std::size_t i = 0; i < rgb.size(); ++i) {
        largest = std::max(largest, std::abs(int{rgb[i]} - int{pixels.bytes[i]}));
      }
      EXPECT_LT(largest, 16);
    }
  }
}

TEST(ForeignPicture, DamageOfCmykIsToldAndGotOver) {
  const Bytes good = MakeJpeg({.planes = Planes::kCmyk});
  const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(good.size() * 3 / 4));
  EXPECT_EQ(ReadForeignPicture(cut)->repairs, kCmyk | kTruncated);
  Bytes damaged = good;
  const auto scan = static_cast<std::ptrdiff_t>(test::FindScans(good)[0]);
  std::fill(damaged.begin() + scan + 60, damaged.begin() + scan + 160, std::byte{0x55});
  EXPECT_EQ(ReadForeignPicture(damaged)->repairs, kCmyk | kCorrupt);
  Bytes longer = good;
  longer.resize(longer.size() + 3);
  EXPECT_EQ(ReadForeignPicture(longer)->repairs, kCmyk | kTrailingBytes);
  EXPECT_EQ(ReadForeignPicture(longer)->pixels.bytes, ReadForeignPicture(good)->pixels.bytes);
}

TEST(ForeignPicture, WhatIsNoneIsAFault) {
  const Bytes good = MakeJpeg({.planes = Planes::kCmyk});
  const Bytes head(good.begin(), good.begin() + 40);
  EXPECT_EQ(ForeignKindOf(head), ForeignKind::kNone);
  EXPECT_THAT(ReadForeignPicture(head).fault().message, HasSubstr("a truncated JPEG"));
  EXPECT_EQ(ReadForeignPicture(MakeJpeg()).fault().message, "not a CMYK JPEG");
  EXPECT_THAT(ReadForeignPicture({}).fault().message, HasSubstr("an empty file"));
}

TEST(ForeignPicture, AbsurdCmykIsRefusedBeforeItCostsMemory) {
  Bytes jpeg = MakeJpeg({.planes = Planes::kCmyk});
  const Bytes sof = {std::byte{0xFF}, std::byte{0xC0}};
  const auto at = std::search(jpeg.begin(), jpeg.end(), sof.begin(), sof.end());
  ASSERT_NE(at, jpeg.end());
  std::fill_n(at + 5, 4, std::byte{0x27});  // 10023 x 10023
  EXPECT_EQ(ReadForeignPicture(jpeg).fault().message,
            "a CMYK JPEG of more than 64 million pixels; make it smaller");
}

TEST(ForeignPicture, PngSaysThatItIsOne) {
  const Bytes png = MakePngOf({.depth = 16, .interlaced = true});
  EXPECT_EQ(ReadForeignPicture(png)->repairs, kOtherFormat);
  Bytes longer = png;
  longer.resize(longer.size() + 3);
  EXPECT_EQ(ReadForeignPicture(longer)->repairs, kOtherFormat | kTrailingBytes);
  EXPECT_EQ(ReadForeignPicture(longer)->pixels.bytes, ReadForeignPicture(png)->pixels.bytes);
}

TEST(ForeignPicture, GrayInThreeChannelsBecomesOne) {
  Pixels pixels{.width = 9, .height = 5, .channels = 3, .bytes = std::vector<std::uint8_t>(135)};
  for (std::size_t i = 0; i < pixels.bytes.size(); ++i) {
    pixels.bytes[i] = static_cast<std::uint8_t>(5 * (i / 3));
  }
  const auto gray = ReadForeignPicture(MakePngPayload(pixels));
  EXPECT_EQ(gray->pixels.channels, 1u);
  ASSERT_EQ(gray->pixels.bytes.size(), 45u);
  for (std::size_t i = 0; i < 45; ++i) ASSERT_EQ(gray->pixels.bytes[i], 5 * i);
  pixels.bytes.back() ^= 1;
  EXPECT_EQ(ReadForeignPicture(MakePngPayload(pixels))->pixels.channels, 3u);
}

TEST(ForeignPicture, FaultsOfAPngStay) {
  Bytes png = test::MakePng(20, 20, 1);
  png.resize(png.size() - 20);
  EXPECT_EQ(ReadForeignPicture(png).fault().message,
            "a truncated PNG: the file ends before the picture does");
}

}  // namespace
}  // namespace millrace::storage
