#include "storage/png_picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/random.h"
#include "tests/support/png_bytes.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

using test::MakePngOf;
using testing::HasSubstr;
using Bytes = std::vector<std::byte>;

constexpr const char* kTruncated = "a truncated PNG: the file ends before the picture does";

Pixels MakePicture(std::uint32_t width, std::uint32_t height, std::uint32_t channels) {
  Pixels pixels{.width = width,
                .height = height,
                .channels = channels,
                .bytes = test::MakePixels(static_cast<int>(width), static_cast<int>(height), 5)};
  pixels.bytes.resize(pixels.row_bytes() * height);
  return pixels;
}

std::string FaultOf(const Bytes& bytes) {
  const auto pixels = ReadPng(bytes);
  return pixels.ok() ? "" : pixels.fault().message;
}

std::string PayloadFaultOf(const Bytes& bytes) {
  const auto info = CheckPngPayload(bytes);
  return info.ok() ? "" : info.fault().message;
}

TEST(PngPayload, GivesItsPixelsBack) {
  for (const std::uint32_t channels : {1u, 3u}) {
    for (const auto& [width, height] : {std::pair{1u, 1u}, {7u, 1u}, {1u, 9u}, {33u, 20u}}) {
      const Pixels pixels = MakePicture(width, height, channels);
      const Bytes payload = MakePngPayload(pixels);
      const PngInfo expected{.width = width, .height = height, .gray = channels == 1};
      EXPECT_EQ(*ReadPngInfo(payload), expected);
      EXPECT_EQ(*CheckPngPayload(payload), expected);
      std::size_t end = 0;
      const auto read = ReadPng(payload, &end);
      ASSERT_TRUE(read.ok()) << read.fault().message;
      EXPECT_EQ(read->bytes, pixels.bytes);
      EXPECT_EQ(read->channels, channels);
      EXPECT_EQ(end, payload.size());
    }
  }
}

TEST(PngPayload, SamePixelsGiveSameBytes) {
  const Pixels pixels = MakePicture(90, 70, 3);
  EXPECT_EQ(MakePngPayload(pixels), MakePngPayload(pixels));
}

TEST(PngPayload, RegionIsThatOfTheWhole) {
  for (const std::uint32_t channels : {1u, 3u}) {
    const Pixels pixels = MakePicture(40, 30, channels);
    const Bytes payload = MakePngPayload(pixels);
    for (const PngRegion region : {PngRegion{0, 0, 40, 30}, {39, 29, 1, 1}, {5, 7, 20, 11}}) {
      constexpr std::size_t kStride = 130;  // wider than any region
      std::vector<std::uint8_t> out(kStride * region.height, 0xEE);
      ASSERT_TRUE(ReadPngRegion(payload, region, out.data(), kStride));
      for (std::uint32_t y = 0; y < region.height; ++y) {
        for (std::uint32_t x = 0; x < region.width; ++x) {
          const std::size_t from =
              (region.y + y) * pixels.row_bytes() + (region.x + x) * std::size_t{channels};
          for (std::size_t c = 0; c < 3; ++c) {
            ASSERT_EQ(out[y * kStride + x * 3 + c], pixels.bytes[from + (channels == 3 ? c : 0)]);
          }
        }
        ASSERT_EQ(out[y * kStride + region.width * 3], 0xEE) << "written behind the region";
      }
    }
  }
}

TEST(PngPayload, OtherKindsAreRefusedThere) {
  const test::PngSpec kKinds[] = {{.depth = 16},
                                  {.interlaced = true},
                                  {.kind = PNG_COLOR_TYPE_PALETTE},
                                  {.kind = PNG_COLOR_TYPE_RGB_ALPHA},
                                  {.kind = PNG_COLOR_TYPE_GRAY_ALPHA},
                                  {.depth = 4, .kind = PNG_COLOR_TYPE_GRAY}};
  for (const auto& kind : kKinds) {
    const Bytes png = MakePngOf(kind);
    EXPECT_EQ(FaultOf(png), "");
    const std::string fault = "a PNG of another kind than conversion writes (8 bits, gray or RGB)";
    EXPECT_EQ(PayloadFaultOf(png), fault);
    EXPECT_EQ(ReadPngInfo(png).fault().message, fault);
  }
}

TEST(Png, AnyTruncationIsAFault) {
  for (const bool interlaced : {false, true}) {
    const Bytes png = MakePngOf({.interlaced = interlaced});
    ASSERT_EQ(FaultOf(png), "");
    for (std::size_t size = 8; size < png.size(); ++size) {
      const Bytes cut(png.begin(), png.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_EQ(FaultOf(cut), kTruncated) << size;
      if (!interlaced) {
        EXPECT_EQ(PayloadFaultOf(cut), kTruncated) << size;
      }
    }
  }
}

TEST(Png, WrongChecksumIsAFault) {
  const Bytes good = MakePngPayload(MakePicture(20, 14, 3));
  Bytes png = good;
  png[png.size() - 13] ^= std::byte{1};  // the last byte of IDAT's checksum
  EXPECT_EQ(FaultOf(png), "a corrupt PNG (IDAT: CRC error)");
  EXPECT_EQ(PayloadFaultOf(png), "a corrupt PNG (IDAT: CRC error)");
  png = good;
  png[20] ^= std::byte{1};  // the width
  EXPECT_EQ(FaultOf(png), "a corrupt PNG (IHDR: CRC error)");
}

TEST(Png, NoPixelsAreAFault) {
  for (const auto& [width, height] : {std::pair{0u, 14u}, {20u, 0u}, {0u, 0u}}) {
    Bytes png = MakePngOf({});
    test::SetPngSize(&png, width, height);
    EXPECT_EQ(FaultOf(png), "a corrupt PNG (Invalid IHDR data)");
    EXPECT_EQ(PayloadFaultOf(png), "a corrupt PNG (Invalid IHDR data)");
  }
}

TEST(Png, AbsurdSizesAreRefusedBeforeTheyCostMemory) {
  Bytes png = MakePngOf({});
  for (const auto& [width, height] :
       {std::pair{60000u, 60000u}, {0x7FFFFFFFu, 0x7FFFFFFFu}, {0x7FFFFFFFu, 1u}, {8193u, 8192u}}) {
    test::SetPngSize(&png, width, height);
    EXPECT_EQ(FaultOf(png), "a PNG of more than 64 million pixels; make it smaller");
    EXPECT_EQ(PayloadFaultOf(png), "a PNG of more than 64 million pixels; make it smaller");
  }
  // A size that would be taken of a file that could hold it.
  test::SetPngSize(&png, 8192, 8192);
  EXPECT_EQ(FaultOf(png), kTruncated);
  EXPECT_EQ(ReadPngInfo(png).fault().message, kTruncated);
}

TEST(Png, WhatIsNoneIsAFault) {
  EXPECT_EQ(FaultOf({}), "not a PNG");
  EXPECT_EQ(FaultOf(test::MakeJpeg()), "not a PNG");
  Bytes png = MakePngOf({});
  png[4] = std::byte{'\n'};  // what a transfer as text makes of it
  EXPECT_EQ(FaultOf(png), "not a PNG");
}

TEST(Png, DamageNeverDoesMoreThanAFault) {
  RandomStream random({.seed = 4}, 0);
  int faults = 0;
  for (int round = 0; round < 3000; ++round) {
    const test::PngSpec spec{.depth = round % 3 == 0 ? 16 : 8,
                             .kind = round % 2 == 0 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY,
                             .interlaced = round % 5 == 0};
    Bytes png = MakePngOf(spec);
    for (std::uint32_t n = 1 + random.Below(4); n > 0; --n) {
      png[8 + random.Below(static_cast<std::uint32_t>(png.size() - 8))] =
          static_cast<std::byte>(random.Next());
    }
    if (!FaultOf(png).empty()) ++faults;
    static_cast<void>(CheckPngPayload(png));
  }
  EXPECT_GT(faults, 2500);
}

}  // namespace
}  // namespace millrace::storage
