#include "storage/jpeg_markers.h"

#include <gtest/gtest.h>

#include "tests/support/full_decode.h"
#include "tests/support/tiny_images.h"
#include "tests/support/torture_jpegs.h"

namespace millrace::storage {
namespace {

using test::MakeJpeg;
using test::WithOrientation;
using Bytes = std::vector<std::byte>;

// Offsets in what WithOrientation() makes.
constexpr std::size_t kTiff = 2 + 4 + 6;
constexpr std::size_t kEntries = kTiff + 8;
constexpr std::size_t kEntry = kEntries + 2 + 12;

TEST(ExifOrientation, IsReadInBothByteOrders) {
  for (const bool big_endian : {false, true}) {
    for (unsigned orientation = 1; orientation <= 8; ++orientation) {
      EXPECT_EQ(ExifOrientation(WithOrientation(MakeJpeg(), orientation, big_endian)),
                static_cast<int>(orientation));
    }
  }
}

TEST(ExifOrientation, NothingOrNonsenseIsAsItIs) {
  EXPECT_EQ(ExifOrientation({}), 1);
  EXPECT_EQ(ExifOrientation(MakeJpeg()), 1);
  EXPECT_EQ(ExifOrientation(WithOrientation(MakeJpeg(), 0, true)), 1);
  EXPECT_EQ(ExifOrientation(WithOrientation(MakeJpeg(), 9, false)), 1);
  const Bytes good = WithOrientation(MakeJpeg(), 6, true);
  ASSERT_EQ(ExifOrientation(good), 6);
  const auto with = [&](std::size_t at, unsigned value) {
    Bytes bytes = good;
    bytes[at] = static_cast<std::byte>(value);
    return ExifOrientation(bytes);
  };
  EXPECT_EQ(with(kTiff, 'X'), 1) << "neither byte order";
  EXPECT_EQ(with(kTiff + 3, 43), 1) << "no TIFF";
  EXPECT_EQ(with(kTiff + 4, 0xFF), 1) << "the directory lies outside";
  EXPECT_EQ(with(kEntries + 1, 1), 1) << "the directory ends before";
  EXPECT_EQ(with(kEntries, 0xFF), 6) << "more entries than there are";
  EXPECT_EQ(with(kEntry + 3, 4), 1) << "not a 16-bit number";
  EXPECT_EQ(with(kTiff - 6, 'X'), 1) << "other application data";
}

TEST(ExifOrientation, AnyCutIsSurvived) {
  const Bytes good = WithOrientation(MakeJpeg({.width = 9, .height = 9}), 3, false);
  for (std::size_t size = 0; size < good.size(); ++size) {
    const int orientation = ExifOrientation(test::CutOff(good, size));
    EXPECT_EQ(orientation, size >= kTiff + 38 ? 3 : 1) << size;
  }
}

TEST(WithoutMetadata, PixelsStayAndTheRestGoes) {
  const Bytes plain = MakeJpeg();
  const Bytes decorated =
      WithOrientation(MakeJpeg({.comment = "who reads this has too much time"}), 8, true);
  EXPECT_EQ(WithoutMetadata(decorated), plain);
  EXPECT_EQ(WithoutMetadata(plain), plain);
}

TEST(WithoutMetadata, AdobesColoursStay) {
  const Bytes rgb = MakeJpeg({.planes = test::Planes::kRgb, .comment = "red first"});
  const Bytes result = WithoutMetadata(rgb);
  EXPECT_LT(result.size(), rgb.size());
  EXPECT_TRUE(test::DecodeFully(result).Shows(test::DecodeFully(rgb)));
}

TEST(WithoutMetadata, WhatItDoesNotUnderstandStays) {
  const Bytes good = MakeJpeg({.width = 9, .height = 9, .comment = "nothing"});
  for (std::size_t size = 0; size < 30; ++size) {
    const Bytes cut = test::CutOff(good, size);
    const Bytes result = WithoutMetadata(cut);
    EXPECT_LE(result.size(), cut.size());
  }
  Bytes filled = good;
  filled.insert(filled.begin() + 2, std::byte{0xFF});
  EXPECT_EQ(WithoutMetadata(filled), filled);
}

}  // namespace
}  // namespace millrace::storage
