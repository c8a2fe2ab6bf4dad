#include "pipeline/convert_picture.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/random.h"
#include "stages/decode.h"
#include "stages/resize.h"
#include "storage/jpeg_encode.h"
#include "storage/jpeg_info.h"
#include "storage/payload_check.h"
#include "storage/png_picture.h"
#include "tests/support/bytes.h"
#include "tests/support/png_bytes.h"
#include "tests/support/tiny_images.h"

namespace millrace::pipeline {
namespace {

using stages::Size;
using storage::Subsampling;
using test::Bytes;
using test::FromText;
using test::MakeJpeg;
using test::Planes;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// A ConvertedPicture that owns its payload.
struct Kept {
  ConvertedPicture picture;
  Bytes payload;
  bool has_index = false;
  std::string fault;
};

Kept Convert(const Bytes& bytes, const PictureOptions& options = {},
             std::string_view name = "a/b.JPEG") {
  PictureConverter converter(options);
  auto result = converter.Convert(bytes, name);
  Kept kept;
  if (!result) {
    kept.fault = result.fault().message;
    return kept;
  }
  kept.picture = *result;
  kept.payload.assign(result->payload.begin(), result->payload.end());
  kept.has_index = result->region_index.segment_mcus > 0;
  // What is stored is always sound, and is what is said of it.
  const auto info = storage::CheckPayloadPicture(kept.payload);
  EXPECT_TRUE(info.ok()) << info.fault().message;
  if (info) {
    EXPECT_EQ(info->width, result->width);
    EXPECT_EQ(info->height, result->height);
    EXPECT_EQ(info->subsampling, result->subsampling);
  }
  EXPECT_EQ(kept.picture.found.empty(), kept.picture.done.empty())
      << kept.picture.found << ": " << kept.picture.done;
  EXPECT_TRUE(kept.picture.repairs == 0 || !kept.picture.found.empty());
  return kept;
}

std::vector<std::uint8_t> PixelsOf(const Bytes& payload) {
  stages::Decoder decoder;
  stages::Image image;
  const Outcome decoded = decoder.DecodeFull(payload, &image);
  EXPECT_TRUE(decoded) << decoded.fault().message;
  return {image.row(0),
          image.row(0) + image.row_bytes() * static_cast<std::size_t>(image.height())};
}

Bytes Truncated(Bytes bytes) {
  bytes.resize(bytes.size() * 3 / 4);
  return bytes;
}

Bytes Longer(Bytes bytes) {
  bytes.resize(bytes.size() + 5, std::byte{7});
  return bytes;
}

TEST(PictureConverter, SoundJpegIsPackedWithoutAWord) {
  for (const bool progressive : {false, true}) {
    const Bytes jpeg = MakeJpeg({.width = 200, .height = 60, .progressive = progressive});
    const Kept kept = Convert(jpeg);
    EXPECT_EQ(kept.fault, "");
    EXPECT_EQ(kept.picture.repairs, 0u);
    EXPECT_EQ(kept.picture.found, "");
    EXPECT_TRUE(kept.has_index);
    EXPECT_EQ(PixelsOf(kept.payload), PixelsOf(jpeg));
  }
}

TEST(PictureConverter, WithoutRegionIndexBytesStayAsTheyCame) {
  const PictureOptions options{.region_index = false};
  for (const Bytes& jpeg : {MakeJpeg(), MakeJpeg({.progressive = true}), Longer(MakeJpeg()),
                            MakeJpeg({.planes = Planes::kGray, .comment = "stays"})}) {
    const Kept kept = Convert(jpeg, options);
    EXPECT_EQ(kept.payload, jpeg);
    EXPECT_FALSE(kept.has_index);
    EXPECT_EQ(kept.picture.found, "");
  }
  // What cannot stay is treated as with the index.
  const Bytes arithmetic = MakeJpeg({.arithmetic = true});
  EXPECT_EQ(Convert(arithmetic, options).picture.repairs, storage::kArithmetic);
  EXPECT_EQ(PixelsOf(Convert(arithmetic, options).payload), PixelsOf(arithmetic));
  EXPECT_EQ(Convert(Truncated(MakeJpeg()), options).picture.repairs, storage::kTruncated);
}

TEST(PictureConverter, WhatWasRepairedIsSaid) {
  struct Case {
    Bytes bytes;
    std::uint32_t repairs;
    const char* found;
    const char* done;
  };
  const Case cases[] = {
      {Truncated(MakeJpeg()), storage::kTruncated, "truncated (",
       "the pixels are what libjpeg makes of it"},
      {Longer(MakeJpeg()), storage::kTrailingBytes, "5 bytes after the end", "dropped"},
      {MakeJpeg({.arithmetic = true}), storage::kArithmetic, "arithmetic coding",
       "Huffman-coded without loss"},
      {MakeJpeg({.planes = Planes::kCmyk}), storage::kCmyk, "a CMYK JPEG",
       "stored as an RGB PNG without loss"},
      {Truncated(MakeJpeg({.planes = Planes::kYcck})), storage::kCmyk | storage::kTruncated,
       "a YCCK JPEG; truncated", "the pixels are what libjpeg makes of it; stored as an RGB PNG"},
      {test::MakePng(20, 10, 1), storage::kOtherFormat, "a PNG image although it is named .JPEG",
       "stored as an RGB PNG without loss"},
      {test::MakePngOf({.kind = PNG_COLOR_TYPE_GRAY}), storage::kOtherFormat,
       "a PNG image although it is named .JPEG", "stored as a gray PNG without loss"}};
  for (const Case& one : cases) {
    const Kept kept = Convert(one.bytes);
    EXPECT_EQ(kept.fault, "");
    EXPECT_EQ(kept.picture.repairs, one.repairs);
    EXPECT_THAT(kept.picture.found, HasSubstr(one.found));
    EXPECT_THAT(kept.picture.done, HasSubstr(one.done));
  }
  EXPECT_EQ(Convert(test::MakePng(20, 10, 1), {}, "a.png").picture.found,
            "a PNG image, not a JPEG");
}

TEST(PictureConverter, WithoutRepairWhatIsNotSoundIsAFault) {
  for (const bool region_index : {true, false}) {
    for (const std::uint32_t max_side : {0u, 16u}) {
      const PictureOptions options{
          .region_index = region_index, .max_side = max_side, .repair = false};
      EXPECT_EQ(Convert(Truncated(MakeJpeg()), options).fault,
                "a truncated JPEG: the file ends before the picture does");
      EXPECT_THAT(Convert(MakeJpeg({.planes = Planes::kCmyk}), options).fault,
                  HasSubstr("a CMYK JPEG"));
      EXPECT_EQ(Convert(test::MakePng(20, 10, 1), options).fault,
                "a PNG image although it is named .JPEG");
      // These are no faults.
      EXPECT_EQ(Convert(Longer(MakeJpeg()), options).fault, "");
      EXPECT_EQ(Convert(MakeJpeg({.arithmetic = true}), options).fault, "");
    }
  }
}

TEST(PictureConverter, WhatCannotBeUsedIsAFaultThatNamesIt) {
  EXPECT_EQ(Convert({}).fault, "an empty file");
  EXPECT_EQ(Convert(FromText("GIF89a...")).fault, "a GIF image although it is named .JPEG");
  EXPECT_EQ(Convert(FromText("GIF89a..."), {}, "x.gif").fault, "a GIF image, not a JPEG");
  EXPECT_EQ(Convert(FromText("hello")).fault, "a file of an unknown kind, not a JPEG");
  Bytes head = MakeJpeg();
  head.resize(100);
  EXPECT_THAT(Convert(head).fault, HasSubstr("JPEG"));
  EXPECT_EQ(Convert(Truncated(test::MakePng(20, 10, 1))).fault,
            "a truncated PNG: the file ends before the picture does");
}

Bytes WithSize(Bytes jpeg, unsigned width, unsigned height) {
  const Bytes sof = {std::byte{0xFF}, std::byte{0xC0}};
  const auto at = std::search(jpeg.begin(), jpeg.end(), sof.begin(), sof.end());
  at[5] = static_cast<std::byte>(height >> 8);
  at[6] = static_cast<std::byte>(height);
  at[7] = static_cast<std::byte>(width >> 8);
  at[8] = static_cast<std::byte>(width);
  return jpeg;
}

TEST(PictureConverter, MorePixelsThanTheDecoderTakesAreAFault) {
  EXPECT_EQ(Convert(WithSize(MakeJpeg(), 20000, 20000)).fault,
            "20000 x 20000 pixels; more than 178956970 are refused");
  EXPECT_THAT(Convert(WithSize(MakeJpeg(), 65000, 65000)).fault, HasSubstr("512 million"));
}

TEST(PictureConverter, SmallerPicturesHaveThePixelsOfTheResizer) {
  for (const auto planes : {Planes::k420, Planes::k444, Planes::kGray}) {
    const Bytes jpeg = MakeJpeg({.width = 90, .height = 61, .planes = planes});
    const bool is_gray = planes == Planes::kGray;
    const PictureOptions options{.region_index = false, .max_side = 45, .quality = 83};
    const Kept kept = Convert(jpeg, options);
    EXPECT_EQ(kept.picture.found, "");

    stages::Decoder decoder;
    stages::Image image;
    ASSERT_TRUE(decoder.DecodeFull(jpeg, &image));
    std::vector<std::uint8_t> small(45 * 30 * 3);
    stages::Resizer().Resize(
        {.crop = {0, 0, 90, 61}, .resized = {45, 30}, .window = {0, 0, 45, 30}}, image,
        small.data(), 45 * 3);
    const Bytes expected = storage::EncodeJpeg(
        small, 45, 30,
        {.quality = 83, .subsampling = is_gray ? Subsampling::kGray : Subsampling::k420});
    EXPECT_EQ(kept.payload, expected);

    const Kept packed = Convert(jpeg, {.max_side = 45, .quality = 83});
    EXPECT_TRUE(packed.has_index);
    EXPECT_EQ(PixelsOf(packed.payload), PixelsOf(expected));
  }
}

TEST(PictureConverter, SizesAreThoseOfTorchvisionAndFfcv) {
  struct Case {
    Size from;
    std::uint32_t resize_short;
    std::uint32_t max_side;
    Size to;
  };
  const Case cases[] = {
      {{90, 60}, 40, 0, {60, 40}},  {{60, 90}, 40, 0, {40, 60}}, {{100, 75}, 50, 0, {66, 50}},
      {{75, 100}, 50, 0, {50, 66}}, {{60, 60}, 59, 0, {59, 59}}, {{90, 60}, 60, 0, {90, 60}},
      {{90, 60}, 100, 0, {90, 60}}, {{90, 60}, 0, 45, {45, 30}}, {{60, 90}, 0, 45, {30, 45}},
      {{100, 75}, 0, 50, {50, 37}}, {{90, 60}, 0, 90, {90, 60}}, {{90, 60}, 0, 500, {90, 60}},
      {{300, 1}, 0, 100, {100, 1}}, {{1, 300}, 0, 7, {1, 7}},    {{90, 60}, 1, 0, {1, 1}},
  };
  for (const Case& one : cases) {
    const Kept kept = Convert(MakeJpeg({.width = one.from.width, .height = one.from.height}),
                              {.resize_short = one.resize_short, .max_side = one.max_side});
    EXPECT_EQ((Size{static_cast<int>(kept.picture.width), static_cast<int>(kept.picture.height)}),
              one.to)
        << one.from.width << " x " << one.from.height;
  }
}

TEST(PictureConverter, PicturesThatAreSmallEnoughAreNotEncodedAgain) {
  const Bytes jpeg = MakeJpeg({.width = 90, .height = 60, .planes = Planes::k444});
  const Kept kept = Convert(jpeg, {.max_side = 90, .quality = 10});
  EXPECT_EQ(kept.payload, Convert(jpeg).payload);
  EXPECT_EQ(kept.picture.subsampling, Subsampling::k444);
  EXPECT_EQ(Convert(jpeg, {.region_index = false, .resize_short = 60}).payload, jpeg);
}

TEST(PictureConverter, RepairedPicturesAreMadeSmallerToo) {
  const PictureOptions options{.max_side = 24};
  const Kept cmyk = Convert(MakeJpeg({.planes = Planes::kCmyk}), options);
  EXPECT_EQ(cmyk.picture.repairs, storage::kCmyk);
  EXPECT_EQ(cmyk.picture.done, "stored as an RGB JPEG");
  EXPECT_EQ(cmyk.picture.width, 24u);
  EXPECT_TRUE(cmyk.has_index);
  const Kept gray = Convert(test::MakePngOf({.width = 50, .kind = PNG_COLOR_TYPE_GRAY}), options);
  EXPECT_EQ(gray.picture.subsampling, Subsampling::kGray);
  EXPECT_EQ(gray.picture.done, "stored as a gray JPEG");
  const Kept truncated = Convert(Truncated(MakeJpeg()), options);
  EXPECT_EQ(truncated.picture.repairs, storage::kTruncated);
  EXPECT_EQ(truncated.picture.width, 24u);
}

TEST(PictureConverter, SidesThatNoJpegHasAreAFault) {
  Bytes png = test::MakePngOf({.width = 70'000, .height = 2, .kind = PNG_COLOR_TYPE_GRAY});
  EXPECT_EQ(Convert(png).fault, "");
  EXPECT_EQ(Convert(png, {.resize_short = 1}).fault, "");
  png = test::MakePngOf({.width = 140'000, .height = 2, .kind = PNG_COLOR_TYPE_GRAY});
  EXPECT_EQ(Convert(png, {.resize_short = 1}).fault,
            "70000 x 1 pixels are more than a JPEG can have");
}

TEST(PictureConverter, DamageNeverHarmsTheNextPicture) {
  const PictureOptions kinds[] = {
      {}, {.region_index = false}, {.resize_short = 30}, {.max_side = 30, .repair = false}};
  const Bytes pictures[] = {
      MakeJpeg(), MakeJpeg({.progressive = true}), MakeJpeg({.planes = Planes::kCmyk}),
      MakeJpeg({.arithmetic = true, .restart_interval = 2}), test::MakePng(48, 40, 1)};
  RandomStream random({.seed = 3}, 0);
  for (const PictureOptions& options : kinds) {
    PictureConverter converter(options);
    const Bytes expected = Convert(pictures[0], options).payload;
    int faults = 0;
    int repaired = 0;
    for (int round = 0; round < 400; ++round) {
      Bytes bad = pictures[round % 5];
      for (std::uint32_t n = 1 + random.Below(3); n > 0; --n) {
        bad[random.Below(static_cast<std::uint32_t>(bad.size()))] =
            static_cast<std::byte>(random.Below(256));
      }
      if (round % 7 == 0) bad = Truncated(bad);
      const auto result = converter.Convert(bad, "x.JPEG");
      if (!result) {
        ++faults;
      } else {
        if (result->repairs != 0) ++repaired;
        const auto info = storage::CheckPayloadPicture(result->payload);
        EXPECT_TRUE(info.ok()) << info.fault().message;
      }
      if (round % 10 != 0) continue;
      const auto good = converter.Convert(pictures[0], "x.JPEG");
      ASSERT_TRUE(good.ok());
      ASSERT_TRUE(
          std::equal(good->payload.begin(), good->payload.end(), expected.begin(), expected.end()));
    }
    EXPECT_GT(faults, 50);
    EXPECT_GT(repaired, options.repair ? 100 : 0);
  }
}

}  // namespace
}  // namespace millrace::pipeline
