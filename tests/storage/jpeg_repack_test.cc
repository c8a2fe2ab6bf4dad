#include "storage/jpeg_repack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "tests/support/full_decode.h"
#include "tests/support/tar_reader.h"
#include "tests/support/tiny_images.h"
#include "tests/support/torture_jpegs.h"

namespace millrace::storage {
namespace {

using test::CutOff;
using test::DecodeFully;
using test::MakeJpeg;
using test::Planes;
using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

Bytes Copy(std::span<const std::byte> bytes) { return {bytes.begin(), bytes.end()}; }

// What only views in a RepackedJpeg, copied, and the fault.
struct Packed {
  std::string fault;
  Bytes payload;
  std::uint32_t segment_mcus = 0;
  std::vector<std::uint16_t> segment_bytes;
  JpegInfo info;
  std::uint32_t repairs = 0;
  bool is_packed = false;
  std::string found;
};

Packed RepackWith(JpegRepacker& repacker, std::span<const std::byte> jpeg,
                  OnDamage on_damage = OnDamage::kFault) {
  const auto result = repacker.Repack(jpeg, on_damage);
  if (!result.ok()) {
    Packed none;
    none.fault = result.fault().message;
    return none;
  }
  const auto segments = result.value().region_index.segment_bytes;
  return {.fault = "",
          .payload = Copy(result.value().payload),
          .segment_mcus = result.value().region_index.segment_mcus,
          .segment_bytes = {segments.begin(), segments.end()},
          .info = result.value().info,
          .repairs = result.value().repairs,
          .is_packed = result.value().is_packed,
          .found = result.value().found};
}

Packed Repack(std::span<const std::byte> jpeg, OnDamage on_damage = OnDamage::kFault) {
  JpegRepacker repacker;
  return RepackWith(repacker, jpeg, on_damage);
}

// What the payload's header says that the index relies on, read without libjpeg.
struct Layout {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::uint32_t mcu_width = 8;
  std::uint32_t mcu_height = 8;
  std::size_t frame = 0;  // where SOF stands
  std::uint32_t restart_interval = 0;
  std::size_t scan = 0;  // where its data begins
};

Layout ReadLayout(const Bytes& jpeg) {
  Layout layout;
  const auto byte = [&](std::size_t at) { return std::to_integer<std::uint32_t>(jpeg.at(at)); };
  const auto word = [&](std::size_t at) { return byte(at) << 8 | byte(at + 1); };
  for (std::size_t at = 2; layout.scan == 0; at += 2 + word(at + 2)) {
    EXPECT_EQ(byte(at), 0xFFu);
    switch (byte(at + 1)) {
      case 0xC0:
      case 0xC1:
        layout.frame = at;
        layout.height = word(at + 5);
        layout.width = word(at + 7);
        for (std::size_t plane = 0; plane < byte(at + 9); ++plane) {
          const std::uint32_t factors = byte(at + 11 + 3 * plane);
          layout.mcu_width = std::max(layout.mcu_width, 8 * (factors >> 4));
          layout.mcu_height = std::max(layout.mcu_height, 8 * (factors & 15));
        }
        break;
      case 0xDD:
        layout.restart_interval = word(at + 4);
        break;
      case 0xDA:
        layout.scan = at + 2 + word(at + 2);
        break;
      case 0xC4:
      case 0xDB:
      case 0xE0:
      case 0xEE:
        break;
      default:
        ADD_FAILURE() << "segment " << byte(at + 1);
    }
  }
  return layout;
}

// Where the frame header of a Huffman-coded sequential picture stands.
std::size_t FindFrame(const Bytes& jpeg) {
  std::size_t at = 0;
  while (jpeg.at(at) != std::byte{0xFF} || jpeg.at(at + 1) != std::byte{0xC0}) ++at;
  return at;
}

void ExpectIndexHolds(const Packed& result) {
  const Layout layout = ReadLayout(result.payload);
  ASSERT_EQ(layout.restart_interval, result.segment_mcus);
  ASSERT_GT(result.segment_mcus, 0u);
  const std::uint32_t in_row = (layout.width + layout.mcu_width - 1) / layout.mcu_width;
  const std::uint32_t rows = (layout.height + layout.mcu_height - 1) / layout.mcu_height;
  ASSERT_EQ(in_row % result.segment_mcus, 0u);
  ASSERT_EQ(result.segment_bytes.size(), rows * (in_row / result.segment_mcus));
  // As many segments as can be, with 64 pixels or the whole row.
  for (std::uint32_t mcus = 1; mcus <= in_row; ++mcus) {
    if (in_row % mcus != 0 || (mcus * layout.mcu_width < 64 && mcus < in_row)) continue;
    EXPECT_EQ(result.segment_mcus, mcus);
    break;
  }
  std::size_t at = layout.scan;
  for (std::size_t i = 0; i < result.segment_bytes.size(); ++i) {
    const std::size_t end = at + result.segment_bytes[i];
    ASSERT_LE(end + 2, result.payload.size());
    for (; at < end; ++at) {
      if (result.payload[at] != std::byte{0xFF}) continue;
      ASSERT_EQ(result.payload[at + 1], std::byte{0}) << "a marker within segment " << i;
    }
    const bool last = i + 1 == result.segment_bytes.size();
    ASSERT_EQ(result.payload[at], std::byte{0xFF});
    ASSERT_EQ(result.payload[at + 1], last ? std::byte{0xD9} : std::byte(0xD0 + i % 8));
    at += 2;
  }
  EXPECT_EQ(at, result.payload.size());
}

// A picture of one segment, cut out as the index says.
Bytes Segment(const Packed& result, std::size_t index) {
  const Layout layout = ReadLayout(result.payload);
  const std::uint32_t width = result.segment_mcus * layout.mcu_width;
  std::size_t at = layout.scan;
  for (std::size_t i = 0; i < index; ++i) at += result.segment_bytes[i] + 2u;
  Bytes jpeg = CutOff(result.payload, layout.scan);
  jpeg[layout.frame + 5] = static_cast<std::byte>(layout.mcu_height >> 8);
  jpeg[layout.frame + 6] = static_cast<std::byte>(layout.mcu_height);
  jpeg[layout.frame + 7] = static_cast<std::byte>(width >> 8);
  jpeg[layout.frame + 8] = static_cast<std::byte>(width);
  const auto data = std::span(result.payload).subspan(at, result.segment_bytes[index]);
  jpeg.insert(jpeg.end(), data.begin(), data.end());
  jpeg.insert(jpeg.end(), {std::byte{0xFF}, std::byte{0xD9}});
  return jpeg;
}

// What must hold of every picture that is packed.
void ExpectPacked(std::span<const std::byte> original, const Packed& result) {
  ASSERT_EQ(result.fault, "");
  ASSERT_TRUE(result.is_packed) << result.found;
  const auto shown = DecodeFully(result.payload);
  EXPECT_FALSE(shown.complains);
  EXPECT_TRUE(shown.Shows(DecodeFully(original)));
  ExpectIndexHolds(result);
  const auto checked = CheckJpeg(result.payload);
  ASSERT_TRUE(checked.ok()) << checked.fault().message;
  EXPECT_FALSE(checked->progressive);
  EXPECT_EQ(checked->subsampling, result.info.subsampling);
  EXPECT_EQ(checked->color, result.info.color);
}

TEST(JpegRepack, TortureSetShowsTheSamePixels) {
  JpegRepacker repacker;
  for (const auto& [name, bytes] : test::MakeTortureJpegs()) {
    SCOPED_TRACE(name);
    const Packed result = RepackWith(repacker, bytes);
    ExpectPacked(bytes, result);
    if (::testing::Test::HasFatalFailure()) return;
    std::uint32_t expected = 0;
    if (name.find("arithmetic") != std::string::npos) expected |= kArithmetic;
    if (name.ends_with("orientation")) expected |= kExifOrientation;
    if (name.ends_with("behind the end")) expected |= kTrailingBytes;
    EXPECT_EQ(result.repairs, expected);
    const auto info = ReadJpegInfo(bytes);
    ASSERT_TRUE(info.ok());
    EXPECT_EQ(result.info, *info);
  }
}

TEST(JpegRepack, PackingAgainChangesNothing) {
  JpegRepacker repacker;
  for (const auto& [name, bytes] : test::MakeTortureJpegs()) {
    const Packed once = RepackWith(repacker, bytes);
    const Packed twice = RepackWith(repacker, once.payload);
    EXPECT_EQ(once.payload, twice.payload) << name;
    EXPECT_EQ(once.segment_bytes, twice.segment_bytes) << name;
    EXPECT_EQ(twice.repairs, 0u) << name;
    EXPECT_EQ(twice.found, "") << name;
  }
}

TEST(JpegRepack, HowThePictureWasCodedDoesNotEnter) {
  const Bytes plain = Repack(MakeJpeg({.width = 150, .height = 99})).payload;
  for (const test::JpegSpec& spec : {test::JpegSpec{.progressive = true},
                                     {.arithmetic = true},
                                     {.optimize = true},
                                     {.separate_scans = true},
                                     {.restart_interval = 7},
                                     {.comment = "hello"}}) {
    test::JpegSpec other = spec;
    other.width = 150;
    other.height = 99;
    EXPECT_EQ(Repack(MakeJpeg(other)).payload, plain);
  }
}

TEST(JpegRepack, ARepackerRemembersNothing) {
  JpegRepacker used;
  RepackWith(used, MakeJpeg({.width = 300, .height = 300, .planes = Planes::k444}));
  RepackWith(used, CutOff(MakeJpeg(), 500));
  RepackWith(used, {});
  for (const auto planes : {Planes::kGray, Planes::k411, Planes::kRgb}) {
    const Bytes jpeg = MakeJpeg({.width = 77, .height = 50, .planes = planes});
    EXPECT_EQ(RepackWith(used, jpeg).payload, Repack(jpeg).payload);
  }
  // A picture without its own Huffman tables gets the standard ones, not those of the one before.
  RepackWith(used, MakeJpeg({.optimize = true}));
  Bytes bare = MakeJpeg();
  for (std::size_t at = 2; bare[at + 1] != std::byte{0xDA};) {
    const auto size =
        static_cast<std::ptrdiff_t>(2 + (std::to_integer<unsigned>(bare[at + 2]) << 8) +
                                    std::to_integer<unsigned>(bare[at + 3]));
    const auto begin = bare.begin() + static_cast<std::ptrdiff_t>(at);
    if (bare[at + 1] == std::byte{0xC4}) {
      bare.erase(begin, begin + size);
    } else {
      at += static_cast<std::size_t>(size);
    }
  }
  EXPECT_EQ(RepackWith(used, bare).payload, Repack(MakeJpeg()).payload);
}

TEST(JpegRepack, SegmentsAreOfSixtyFourPixelsOrMore) {
  struct Case {
    int width;
    Planes planes;
    std::uint32_t mcus_per_segment;
  };
  for (const Case& c :
       {Case{500, Planes::k444, 9},   // 63 MCUs
        Case{500, Planes::k420, 4},   // 32
        Case{512, Planes::kGray, 8},  // 64
        Case{488, Planes::k444, 61},  // a prime
        Case{40, Planes::k444, 5},    // narrower than a segment
        Case{120, Planes::k444, 15}, Case{128, Planes::k411, 2}, Case{1, Planes::k420, 1}}) {
    const Packed result = Repack(MakeJpeg({.width = c.width, .height = 17, .planes = c.planes}));
    EXPECT_EQ(result.segment_mcus, c.mcus_per_segment) << c.width;
    ExpectIndexHolds(result);
  }
}

TEST(JpegRepack, EachSegmentDecodesByItself) {
  for (const auto planes : {Planes::kGray, Planes::k444, Planes::kRgb}) {
    const Bytes jpeg = MakeJpeg({.width = 260, .height = 45, .planes = planes});
    const Packed result = Repack(jpeg);
    const auto whole = DecodeFully(jpeg);
    const std::uint32_t in_row = (260 / 8 + 1) / result.segment_mcus;
    ASSERT_GT(in_row, 1u);
    for (std::size_t i = 0; i < result.segment_bytes.size(); ++i) {
      const auto part = DecodeFully(Segment(result, i));
      ASSERT_TRUE(part.has_picture);
      EXPECT_FALSE(part.complains);
      const int left = static_cast<int>(i % in_row) * part.width;
      const int top = static_cast<int>(i / in_row) * part.height;
      const auto row_bytes = [&](int width) {
        return static_cast<std::size_t>(width * whole.channels);
      };
      for (int y = 0; y < part.height && top + y < whole.height; ++y) {
        const auto* expected = whole.pixels.data() +
                               static_cast<std::size_t>(top + y) * row_bytes(whole.width) +
                               row_bytes(left);
        const auto* got = part.pixels.data() + static_cast<std::size_t>(y) * row_bytes(part.width);
        ASSERT_TRUE(
            std::equal(got, got + row_bytes(std::min(part.width, whole.width - left)), expected))
            << "segment " << i << ", row " << y;
      }
    }
  }
}

TEST(JpegRepack, ASegmentOfSixtyFourKibibytesLeavesNoIndex) {
  // 8 x 1009 (a prime) MCUs of noise, three planes.
  const Bytes jpeg =
      MakeJpeg({.width = 8 * 1009, .height = 9, .planes = Planes::k444, .quality = 100});
  ASSERT_GT(jpeg.size(), 150'000u);
  const Packed result = Repack(jpeg);
  EXPECT_TRUE(result.is_packed);
  EXPECT_EQ(result.segment_mcus, 0u);
  EXPECT_TRUE(result.segment_bytes.empty());
  EXPECT_EQ(ReadLayout(result.payload).restart_interval, 0u);
  EXPECT_LT(result.payload.size(), jpeg.size());
  EXPECT_TRUE(DecodeFully(result.payload).Shows(DecodeFully(jpeg)));
  EXPECT_EQ(Repack(result.payload).payload, result.payload);
}

TEST(JpegRepack, WhatIsDroppedIsSaid) {
  Bytes jpeg = test::WithOrientation(MakeJpeg({.arithmetic = true}), 3, false);
  jpeg.resize(jpeg.size() + 12);
  const Packed result = Repack(jpeg);
  EXPECT_EQ(result.repairs, kTrailingBytes | kExifOrientation | kArithmetic);
  EXPECT_EQ(result.found, "12 bytes after the end; EXIF orientation 3; arithmetic coding");
}

TEST(JpegRepack, OrientationOneIsNothing) {
  EXPECT_EQ(Repack(test::WithOrientation(MakeJpeg(), 1, true)).repairs, 0u);
}

// What must hold of any bytes, damaged or not: the same judgement as CheckJpeg(), and the pixels
// that libjpeg makes of them.
void ExpectSoundOutcomes(JpegRepacker& repacker, const Bytes& jpeg) {
  const auto shown = DecodeFully(jpeg);
  const Packed strict = RepackWith(repacker, jpeg);
  const auto checked = CheckJpeg(jpeg);
  if (strict.fault.empty() || !strict.info.arithmetic) {
    EXPECT_EQ(strict.fault.empty(), checked.ok() || strict.info.arithmetic)
        << strict.fault << " or " << (checked.ok() ? "none" : checked.fault().message);
  }
  if (strict.fault.empty()) {
    EXPECT_EQ(strict.repairs & (kTruncated | kCorrupt), 0u);
    EXPECT_TRUE(DecodeFully(strict.payload).Shows(shown));
  }
  const Packed repaired = RepackWith(repacker, jpeg, OnDamage::kRepair);
  if (repaired.fault.empty()) {
    ASSERT_TRUE(shown.has_picture);
    const auto again = DecodeFully(repaired.payload);
    EXPECT_TRUE(again.Shows(shown));
    EXPECT_FALSE(repaired.is_packed && again.complains);
    if (strict.fault.empty()) {
      EXPECT_EQ(repaired.payload, strict.payload);
    } else {
      EXPECT_NE(repaired.repairs & (kTruncated | kCorrupt), 0u) << strict.fault;
      EXPECT_NE(repaired.found, "");
    }
  } else if (shown.has_picture) {
    // Nothing is given up that libjpeg shows, but for what is not stored at all.
    const auto info = ReadJpegInfo(jpeg);
    ASSERT_TRUE(info.ok());
    EXPECT_TRUE(WhyNotStored(info->color) != nullptr || info->arithmetic) << repaired.fault;
  }
}

constexpr test::JpegSpec kDamagedSpecs[] = {
    {.width = 70, .height = 40, .planes = Planes::k420},
    {.width = 70, .height = 40, .planes = Planes::k444, .restart_interval = 3},
    {.width = 50, .height = 30, .planes = Planes::kGray, .optimize = true},
    {.width = 50, .height = 30, .planes = Planes::k422, .progressive = true},
    {.width = 50,
     .height = 30,
     .planes = Planes::kGray,
     .progressive = true,
     .restart_interval = 2},
    {.width = 50, .height = 30, .planes = Planes::k420, .separate_scans = true},
    {.width = 50, .height = 30, .planes = Planes::k420, .arithmetic = true},
    {.width = 40, .height = 30, .planes = Planes::k444, .progressive = true, .arithmetic = true},
};

TEST(JpegRepack, CutOffAnywhereShowsWhatLibjpegShows) {
  JpegRepacker repacker;
  int repaired = 0;
  for (const auto& spec : kDamagedSpecs) {
    const Bytes jpeg = MakeJpeg(spec);
    for (std::size_t size = 0; size < jpeg.size(); ++size) {
      const Bytes cut = CutOff(jpeg, size);
      SCOPED_TRACE(size);
      ExpectSoundOutcomes(repacker, cut);
      if (::testing::Test::HasFailure()) return;
      const Packed result = RepackWith(repacker, cut, OnDamage::kRepair);
      if (!result.fault.empty()) continue;
      EXPECT_NE(result.repairs & kTruncated, 0u);
      EXPECT_THAT(result.found, HasSubstr("truncated (Premature end of JPEG file)"));
      ++repaired;
    }
  }
  EXPECT_GT(repaired, 5000);
}

TEST(JpegRepack, FlippedBitsShowWhatLibjpegShows) {
  JpegRepacker repacker;
  for (const auto& spec : kDamagedSpecs) {
    const Bytes good = MakeJpeg(spec);
    RandomStream random({.seed = static_cast<std::uint64_t>(good.size())}, 0);
    for (int round = 0; round < 600; ++round) {
      const Bytes jpeg = test::WithFlippedBits(good, &random);
      const auto info = ReadJpegInfo(jpeg);
      if (info.ok() && info->pixels() > 1'000'000) continue;  // takes its time
      SCOPED_TRACE(round);
      ExpectSoundOutcomes(repacker, jpeg);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(JpegRepack, CorruptDataIsSaidInTheWordsOfLibjpeg) {
  Bytes jpeg = MakeJpeg({.width = 200, .height = 200});
  for (std::size_t i = jpeg.size() / 2; i < jpeg.size() / 2 + 40; ++i) jpeg[i] = std::byte{0xFE};
  EXPECT_THAT(Repack(jpeg).fault, HasSubstr("a corrupt JPEG (Corrupt JPEG data: "));
  const Packed result = Repack(jpeg, OnDamage::kRepair);
  EXPECT_EQ(result.fault, "");
  EXPECT_EQ(result.repairs, kCorrupt);
  EXPECT_THAT(result.found, HasSubstr("corrupt data (Corrupt JPEG data: "));
}

TEST(JpegRepack, ASecondScanBehindAllPixelsIsDropped) {
  Bytes jpeg = MakeJpeg();
  const auto scan = static_cast<std::ptrdiff_t>(test::FindScans(jpeg).at(0));
  const Bytes again(jpeg.begin() + scan, jpeg.end());
  jpeg.insert(jpeg.end() - 2, again.begin(), again.end());
  EXPECT_THAT(Repack(jpeg).fault, HasSubstr("a corrupt JPEG ("));
  const Packed result = Repack(jpeg, OnDamage::kRepair);
  EXPECT_EQ(result.repairs, kCorrupt);
  EXPECT_EQ(result.payload, Repack(MakeJpeg()).payload);
}

TEST(JpegRepack, AProgressivePictureThatLacksScansStaysAsItIs) {
  const Bytes whole = MakeJpeg({.width = 60, .height = 60, .progressive = true, .comment = "x"});
  const std::size_t scans = test::FindScans(whole).size();
  int kept = 0;
  for (std::size_t missing = 1; missing < scans; ++missing) {
    Bytes jpeg = test::WithOrientation(test::WithoutLastScans(whole, missing), 7, true);
    jpeg.resize(jpeg.size() + 3);
    const Packed result = Repack(jpeg);
    ASSERT_EQ(result.fault, "");
    EXPECT_TRUE(DecodeFully(result.payload).Shows(DecodeFully(jpeg)));
    EXPECT_EQ(result.repairs, kTrailingBytes | kExifOrientation);
    if (result.is_packed) continue;  // nothing is made up when no AC coefficient is known to lack
    ++kept;
    EXPECT_EQ(result.segment_mcus, 0u);
    EXPECT_THAT(
        result.found,
        HasSubstr("not packed anew: a progressive picture that lacks scans; 3 bytes after"));
    EXPECT_LT(result.payload.size(), jpeg.size() - 3 - 40) << "metadata is still there";
  }
  EXPECT_GT(kept, 3);
  // Otherwise the test would find nothing.
  const Bytes lacking = test::WithoutLastScans(whole, scans - 1);
  EXPECT_FALSE(DecodeFully(lacking).Shows(DecodeFully(whole)));
}

TEST(JpegRepack, SamplingThatDoesNotInterleaveStaysAsItIs) {
  Bytes jpeg = MakeJpeg({.width = 8, .height = 8, .planes = Planes::k444, .separate_scans = true});
  // Sampling factors 4x4, 1x1, 1x1 make an MCU of 18 blocks; a plane still has one.
  jpeg[FindFrame(jpeg) + 11] = std::byte{0x44};
  const auto shown = DecodeFully(jpeg);
  ASSERT_TRUE(shown.has_picture && !shown.complains);
  const Packed result = Repack(jpeg);
  ASSERT_EQ(result.fault, "");
  EXPECT_FALSE(result.is_packed);
  EXPECT_EQ(result.found, "not packed anew: sampling factors that only separate scans can have");
  EXPECT_EQ(result.payload, jpeg);
}

TEST(JpegRepack, GiantsStayAsTheyAre) {
  // 16000 x 8000, of which next to nothing is there.
  Bytes jpeg = MakeJpeg({.planes = Planes::kGray, .comment = "a giant"});
  const std::size_t frame = FindFrame(jpeg);
  jpeg[frame + 5] = std::byte{8000 >> 8};
  jpeg[frame + 6] = std::byte{8000 & 255};
  jpeg[frame + 7] = std::byte{16000 >> 8};
  jpeg[frame + 8] = std::byte{16000 & 255};
  EXPECT_THAT(Repack(jpeg).fault, HasSubstr("a corrupt JPEG ("));
  const Packed result = Repack(jpeg, OnDamage::kRepair);
  EXPECT_FALSE(result.is_packed);
  EXPECT_EQ(result.repairs, kCorrupt);
  EXPECT_THAT(result.found,
              HasSubstr("not packed anew: more than 64 million pixels; corrupt data"));
  EXPECT_LT(result.payload.size(), jpeg.size()) << "the comment is still there";
}

TEST(JpegRepack, CoefficientsWithoutACodeStayAsTheyAre) {
  // A DC coefficient of -32768 reached in two steps, at the beginning of what would be a segment.
  std::vector<std::int16_t> blocks(2 * kBlockSize, 0);
  blocks[0] = 32767;
  blocks[kBlockSize] = -32768;
  CoefficientPlane plane;
  plane.width_blocks = 1;
  plane.rows = {blocks.data(), blocks.data() + kBlockSize};
  plane.quantizers.fill(1);
  JpegWriter writer;
  ASSERT_TRUE(
      writer.Write({.width = 8, .height = 16, .color = JpegColor::kGray, .planes = {plane}}, 0));
  const Bytes jpeg = Copy(writer.bytes());
  const Packed result = Repack(jpeg);
  ASSERT_EQ(result.fault, "");
  EXPECT_FALSE(result.is_packed);
  EXPECT_EQ(result.found, "not packed anew: coefficients that Huffman codes cannot say");
  EXPECT_EQ(result.payload, jpeg);
}

TEST(JpegRepack, WhatIsNotStoredIsAFaultThatTheHeaderExplains) {
  const Bytes cmyk = MakeJpeg({.planes = Planes::kCmyk});
  const Bytes ycck = MakeJpeg({.planes = Planes::kYcck});
  for (const auto on_damage : {OnDamage::kFault, OnDamage::kRepair}) {
    EXPECT_THAT(Repack(cmyk, on_damage).fault, HasSubstr("a CMYK JPEG"));
    EXPECT_THAT(Repack(ycck, on_damage).fault, HasSubstr("a YCCK JPEG"));
    EXPECT_EQ(Repack(test::MakePng(5, 5, 1), on_damage).fault, "a PNG image, not a JPEG");
    EXPECT_EQ(Repack({}, on_damage).fault, "an empty file");
  }
  EXPECT_EQ(ReadJpegInfo(cmyk)->color, JpegColor::kCmyk);
  EXPECT_EQ(ReadJpegInfo(ycck)->color, JpegColor::kYcck);
}

// Real pictures: `most` of an archive, evenly spread.
void ExpectRealPicturesPacked(const std::string& archive, std::size_t most) {
  const auto path = millrace::testing::TestData(archive);
  if (path.empty()) GTEST_SKIP() << "set MILLRACE_TEST_DATA to the folder with " << archive;
  const auto files = millrace::testing::ReadTar(path, ".JPEG");
  JpegRepacker repacker;
  std::size_t seen = 0;
  for (std::size_t i = 0; i < files.size(); i += std::max<std::size_t>(1, files.size() / most)) {
    SCOPED_TRACE(files[i].name);
    ExpectPacked(files[i].bytes, RepackWith(repacker, files[i].bytes));
    if (::testing::Test::HasFailure()) return;
    ++seen;
  }
  EXPECT_GE(seen, most);
}

TEST(JpegRepack, ImageNetOriginalsShowTheSamePixels) {
  ExpectRealPicturesPacked("imagenet-originals-200.tar", 200);
}

TEST(JpegRepack, ImagenetteShowsTheSamePixels) {
  ExpectRealPicturesPacked("imagenette-224.tar", 500);
}

}  // namespace
}  // namespace millrace::storage
