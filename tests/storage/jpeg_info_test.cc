#include "storage/jpeg_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csetjmp>
#include <cstdio>
#include <string>

#include <jpeglib.h>

#include "base/random.h"
#include "tests/support/bytes.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

using test::Bytes;
using test::FromText;
using test::MakeJpeg;
using test::Planes;
using testing::HasSubstr;

std::string FaultOf(const Bytes& bytes) {
  const auto info = CheckJpeg(bytes);
  return info.ok() ? "" : info.fault().message;
}

TEST(JpegInfo, HeaderFactsAreThoseOfThePicture) {
  const std::pair<Planes, Subsampling> kKinds[] = {
      {Planes::kGray, Subsampling::kGray}, {Planes::k444, Subsampling::k444},
      {Planes::k422, Subsampling::k422},   {Planes::k420, Subsampling::k420},
      {Planes::k440, Subsampling::k440},   {Planes::k411, Subsampling::k411},
      {Planes::kRgb, Subsampling::k444}};
  for (const auto& [planes, subsampling] : kKinds) {
    for (const bool progressive : {false, true}) {
      const auto jpeg =
          MakeJpeg({.width = 37, .height = 21, .planes = planes, .progressive = progressive});
      const JpegInfo expected{.width = 37,
                              .height = 21,
                              .subsampling = subsampling,
                              .color = planes == Planes::kGray  ? JpegColor::kGray
                                       : planes == Planes::kRgb ? JpegColor::kRgb
                                                                : JpegColor::kYcc,
                              .progressive = progressive};
      for (const auto& info : {ReadJpegInfo(jpeg), CheckJpeg(jpeg)}) {
        ASSERT_TRUE(info.ok()) << info.fault().message;
        EXPECT_EQ(*info, expected);
      }
    }
  }
}

TEST(JpegInfo, OddSizesAndRestartMarkersPass) {
  for (int width = 1; width <= 17; width += 4) {
    for (int height = 1; height <= 17; height += 4) {
      const auto jpeg =
          MakeJpeg({.width = width, .height = height, .optimize = true, .restart_interval = 1});
      EXPECT_EQ(FaultOf(jpeg), "") << width << "x" << height;
    }
  }
}

TEST(JpegInfo, BytesBehindTheEndAreNoFault) {
  auto jpeg = MakeJpeg();
  jpeg.resize(jpeg.size() + 100, std::byte{0x42});
  EXPECT_EQ(FaultOf(jpeg), "");
}

TEST(JpegInfo, OtherFormatsAreNamed) {
  EXPECT_EQ(FaultOf({}), "an empty file");
  EXPECT_EQ(FaultOf(test::MakePng(5, 5, 1)), "a PNG image, not a JPEG");
  EXPECT_EQ(FaultOf(FromText("GIF89a...")), "a GIF image, not a JPEG");
  EXPECT_EQ(FaultOf(FromText("BM......")), "a BMP image, not a JPEG");
  EXPECT_EQ(FaultOf(FromText("RIFF....WEBPVP8 ")), "a WebP image, not a JPEG");
  EXPECT_EQ(FaultOf(FromText(std::string("II*\0....", 8))), "a TIFF image, not a JPEG");
  EXPECT_EQ(FaultOf(FromText(std::string("\0\0\0\x1c"
                                         "ftypavif",
                                         12))),
            "an AVIF image, not a JPEG");
  EXPECT_EQ(FaultOf(FromText("P6\n5 5\n255\n")), "a PNM image, not a JPEG");
  EXPECT_EQ(FaultOf(FromText("  <!DOCTYPE html><html>404")), "an HTML page, not a JPEG");
  EXPECT_EQ(FaultOf(FromText("<svg xmlns=")), "an XML or SVG file, not a JPEG");
  EXPECT_EQ(FaultOf(FromText("hello")), "a file of an unknown kind, not a JPEG");
}

TEST(JpegInfo, KindsThatAreNotSupportedAreNamed) {
  EXPECT_THAT(FaultOf(MakeJpeg({.planes = Planes::kCmyk})), HasSubstr("a CMYK JPEG"));
  EXPECT_THAT(FaultOf(MakeJpeg({.planes = Planes::kYcck})), HasSubstr("a YCCK JPEG"));
  EXPECT_THAT(FaultOf(MakeJpeg({.arithmetic = true})), HasSubstr("an arithmetic-coded JPEG"));
}

// The position of a marker's code byte.
std::size_t FindMarker(const Bytes& jpeg, unsigned code) {
  for (std::size_t i = 0; i + 1 < jpeg.size(); ++i) {
    if (jpeg[i] == std::byte{0xFF} && jpeg[i + 1] == static_cast<std::byte>(code)) return i + 1;
  }
  ADD_FAILURE() << "no marker " << code;
  return 0;
}

TEST(JpegInfo, TwelveBitsPerSampleAreNamed) {
  auto jpeg = MakeJpeg();
  jpeg[FindMarker(jpeg, 0xC0) + 3] = std::byte{12};
  EXPECT_EQ(FaultOf(jpeg), "a JPEG of 12 bits per sample; only 8 are supported");
}

Bytes WithSize(Bytes jpeg, unsigned sof, unsigned width, unsigned height) {
  const auto at = FindMarker(jpeg, sof);
  jpeg[at + 4] = static_cast<std::byte>(height >> 8);
  jpeg[at + 5] = static_cast<std::byte>(height);
  jpeg[at + 6] = static_cast<std::byte>(width >> 8);
  jpeg[at + 7] = static_cast<std::byte>(width);
  return jpeg;
}

TEST(JpegInfo, AbsurdSizesAreRefusedBeforeTheyCostMemory) {
  EXPECT_THAT(FaultOf(WithSize(MakeJpeg(), 0xC0, 65535, 10)), HasSubstr("65500 pixels on a side"));
  EXPECT_THAT(FaultOf(WithSize(MakeJpeg(), 0xC0, 65000, 65000)), HasSubstr("512 million pixels"));
  EXPECT_THAT(FaultOf(WithSize(MakeJpeg({.progressive = true}), 0xC2, 20000, 20000)),
              HasSubstr("64 million pixels"));
  EXPECT_THAT(FaultOf(WithSize(MakeJpeg(), 0xC0, 0, 10)), HasSubstr("a corrupt JPEG"));
}

TEST(JpegInfo, ManyScansAreRefused) {
  const auto jpeg =
      MakeJpeg({.width = 8, .height = 8, .planes = Planes::kGray, .progressive = true});
  const auto head = static_cast<std::ptrdiff_t>(FindMarker(jpeg, 0xDA)) - 1;
  Bytes scan(jpeg.begin() + head, jpeg.end());
  scan.resize(FindMarker(scan, 0xC4) - 1);  // the first scan ends where the next one's tables begin
  // DC values at full precision at once: such a scan may come again and again without a warning.
  scan[9] = std::byte{0};
  const auto with_scans = [&](int count) {
    Bytes many(jpeg.begin(), jpeg.begin() + head);
    for (int i = 0; i < count; ++i) many.insert(many.end(), scan.begin(), scan.end());
    many.insert(many.end(), {std::byte{0xFF}, std::byte{0xD9}});
    return many;
  };
  EXPECT_EQ(FaultOf(with_scans(kMaxScans)), "");
  EXPECT_EQ(FaultOf(with_scans(kMaxScans + 1)),
            "a JPEG of more than 500 scans, made to waste time");
}

TEST(JpegInfo, AnyTruncationIsAFault) {
  for (const bool progressive : {false, true}) {
    const auto jpeg = MakeJpeg({.progressive = progressive});
    for (std::size_t size = 2; size < jpeg.size(); ++size) {
      const Bytes cut(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(size));
      const std::string fault = FaultOf(cut);
      ASSERT_NE(fault, "") << size;
      if (!progressive) {
        EXPECT_EQ(fault, "a truncated JPEG: the file ends before the picture does") << size;
      }
    }
  }
}

TEST(JpegInfo, CorruptDataCarriesTheWordsOfLibjpeg) {
  auto jpeg = MakeJpeg({.width = 200, .height = 200});
  for (std::size_t i = jpeg.size() / 2; i < jpeg.size() / 2 + 40; ++i) jpeg[i] = std::byte{0xFE};
  EXPECT_THAT(FaultOf(jpeg), HasSubstr("a corrupt JPEG (Corrupt JPEG data: "));
}

TEST(JpegInfo, HeaderOdditiesThatLeavePixelsAlonePass) {
  auto jpeg = MakeJpeg();
  const auto scan = FindMarker(jpeg, 0xDA);
  jpeg[scan + 10] = std::byte{0};  // the last coefficient: ignored by sequential decoders
  EXPECT_EQ(FaultOf(jpeg), "");
  jpeg = MakeJpeg();
  jpeg[FindMarker(jpeg, 0xE0) + 8] = std::byte{3};  // JFIF 3.x
  EXPECT_EQ(FaultOf(jpeg), "");
}

struct Judge {
  jpeg_error_mgr errors;
  std::jmp_buf escape;
  bool warned;
};

// Whether a full-size decode, as a user would do it, warns or fails.
bool FullDecodeComplains(const Bytes& jpeg) {
  static Judge judge;
  static jpeg_decompress_struct info;
  judge = {};
  info = {};
  info.err = jpeg_std_error(&judge.errors);
  judge.errors.error_exit = [](j_common_ptr common) {
    reinterpret_cast<Judge*>(common->err)->warned = true;
    std::longjmp(reinterpret_cast<Judge*>(common->err)->escape, 1);
  };
  judge.errors.emit_message = [](j_common_ptr common, int level) {
    if (level < 0) reinterpret_cast<Judge*>(common->err)->warned = true;
  };
  jpeg_create_decompress(&info);
  static std::vector<JSAMPLE> row;
  if (setjmp(judge.escape) == 0) {
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(jpeg.data()), jpeg.size());
    jpeg_read_header(&info, TRUE);
    if (info.image_width > 1000 || info.image_height > 1000) {
      judge.warned = true;  // the judge is not asked about absurd sizes
      std::longjmp(judge.escape, 1);
    }
    jpeg_start_decompress(&info);
    row.resize(info.output_width * static_cast<std::size_t>(info.output_components));
    JSAMPROW rows = row.data();
    while (info.output_scanline < info.output_height) jpeg_read_scanlines(&info, &rows, 1);
    jpeg_finish_decompress(&info);
  }
  jpeg_destroy_decompress(&info);
  return judge.warned;
}

TEST(JpegInfo, FindsWhateverAFullDecodeComplainsAbout) {
  int complaints = 0;
  for (const auto planes : {Planes::k420, Planes::k444, Planes::kGray, Planes::k411}) {
    for (const bool progressive : {false, true}) {
      const auto good = MakeJpeg({.width = 90,
                                  .height = 70,
                                  .planes = planes,
                                  .progressive = progressive,
                                  .restart_interval = progressive ? 0u : 3u});
      RandomStream random({.seed = static_cast<std::uint64_t>(planes)}, progressive ? 1 : 0);
      for (int round = 0; round < 400; ++round) {
        auto jpeg = good;
        for (unsigned n = 1 + random.Below(3); n > 0; --n) {
          jpeg[random.Below(static_cast<std::uint32_t>(jpeg.size()))] ^=
              static_cast<std::byte>(1u << random.Below(8));
        }
        if (!FullDecodeComplains(jpeg)) continue;
        ++complaints;
        // What is passed in spite of a warning is a harmless header, never the data.
        if (FaultOf(jpeg).empty()) {
          auto repaired = good;
          const auto header = static_cast<std::ptrdiff_t>(FindMarker(good, 0xDA) + 20);
          std::copy(jpeg.begin() + header, jpeg.end(), repaired.begin() + header);
          EXPECT_FALSE(FullDecodeComplains(repaired)) << round;
        }
      }
    }
  }
  EXPECT_GT(complaints, 300);
}

}  // namespace
}  // namespace millrace::storage
