#include "stages/decode.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/random.h"
#include "stages/decode_scale.h"
#include "storage/jpeg_info.h"
#include "storage/png_picture.h"
#include "tests/stages/regions.h"
#include "tests/support/png_bytes.h"
#include "tests/support/tiny_images.h"

namespace millrace::stages {
namespace {

using test::FindScans;
using test::IsRegionOf;
using test::JpegSpec;
using test::Planes;
using ::testing::HasSubstr;

using Bytes = std::vector<std::byte>;

const Size kSizes[] = {{1, 1},   {1, 2},   {2, 1},   {3, 2},   {5, 4},    {8, 8},    {9, 7},
                       {15, 17}, {16, 16}, {17, 16}, {18, 33}, {19, 35},  {33, 18},  {35, 19},
                       {64, 48}, {65, 50}, {67, 49}, {90, 71}, {131, 97}, {160, 130}};

Bytes MakeJpeg(JpegSpec spec, Size size, std::uint64_t seed) {
  spec.width = size.width;
  spec.height = size.height;
  spec.seed = seed;
  return test::MakeJpeg(spec);
}

// Boxes at every edge and corner, slivers, and random ones.
std::vector<Box> Boxes(Size size, RandomStream* random) {
  const int w = size.width;
  const int h = size.height;
  std::vector<Box> boxes = {{0, 0, w, h},     {0, 0, 1, 1},         {w - 1, 0, 1, h},
                            {0, h - 1, w, 1}, {w - 1, h - 1, 1, 1}, {w / 2, h / 2, 1, 1}};
  for (int i = 0; i < 40; ++i) {
    const auto below = [&](int bound) {
      return static_cast<int>(random->Below(static_cast<std::uint32_t>(bound)));
    };
    Box box{0, 0, 1 + below(w), 1 + below(h)};
    box.x = below(w - box.width + 1);
    box.y = below(h - box.height + 1);
    if (i % 4 == 1) box.x = w - box.width;
    if (i % 4 == 2) box.y = h - box.height;
    boxes.push_back(box);
  }
  return boxes;
}

storage::RecordView RecordOf(std::span<const std::byte> payload, Size size) {
  return {.width = static_cast<std::uint32_t>(size.width),
          .height = static_cast<std::uint32_t>(size.height),
          .payload = payload};
}

std::string Describe(Size size, Box box) {
  return fmt::format("picture {}x{}, region {}x{} at {},{}", size.width, size.height, box.width,
                     box.height, box.x, box.y);
}

struct JpegKind {
  const char* name;
  JpegSpec spec;
};
void PrintTo(const JpegKind& kind, std::ostream* out) { *out << kind.name; }

class DecoderKinds : public ::testing::TestWithParam<JpegKind> {};

TEST_P(DecoderKinds, RegionEqualsFullDecode) {
  Decoder decoder;
  Image full;
  Image part;
  std::uint64_t seed = 0;
  for (const Size size : kSizes) {
    RandomStream random(RandomKey{.seed = ++seed}, 1);
    const Bytes jpeg = MakeJpeg(GetParam().spec, size, seed);
    ASSERT_TRUE(decoder.DecodeFull(jpeg, &full));
    ASSERT_EQ(full.width(), size.width);
    ASSERT_EQ(full.height(), size.height);
    for (const Box box : Boxes(size, &random)) {
      const Outcome outcome = decoder.Decode(RecordOf(jpeg, size), box, &part);
      ASSERT_TRUE(outcome) << Describe(size, box) << ": " << outcome.fault().message;
      EXPECT_TRUE(IsRegionOf(full, box, part)) << Describe(size, box);
    }
  }
}

TEST_P(DecoderKinds, RegionAtASmallerScaleEqualsThatOfTheWholePictureAtThisScale) {
  Decoder decoder;
  Image part;
  std::uint64_t seed = 0;
  for (const Size size : kSizes) {
    RandomStream random(RandomKey{.seed = ++seed}, 1);
    const Bytes jpeg = MakeJpeg(GetParam().spec, size, seed);
    for (const int scale : {4, 2, 1}) {
      const Image whole = test::DecodeWhole(jpeg, scale);
      const Size scaled{whole.width(), whole.height()};
      ASSERT_EQ(ScaledSize(size, scale), scaled);
      for (const Box box : Boxes(scaled, &random)) {
        const Outcome outcome = decoder.Decode(RecordOf(jpeg, size), box, &part, scale);
        ASSERT_TRUE(outcome) << Describe(scaled, box) << ": " << outcome.fault().message;
        EXPECT_TRUE(IsRegionOf(whole, box, part)) << Describe(scaled, box) << ", scale " << scale;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    AllKinds, DecoderKinds,
    ::testing::Values(
        JpegKind{"s444", {.planes = Planes::k444}}, JpegKind{"s422", {.planes = Planes::k422}},
        JpegKind{"s420", {}}, JpegKind{"s440", {.planes = Planes::k440}},
        JpegKind{"s411", {.planes = Planes::k411}}, JpegKind{"s410", {.planes = Planes::k410}},
        JpegKind{"s441", {.planes = Planes::k441}}, JpegKind{"gray", {.planes = Planes::kGray}},
        JpegKind{"gray_sampled_2x2", {.planes = Planes::kGray2x2}},
        JpegKind{"rgb", {.planes = Planes::kRgb}},
        JpegKind{"restarts_420", {.restart_interval = 1}},
        JpegKind{"restarts_422", {.planes = Planes::k422, .restart_interval = 3}},
        JpegKind{"separate_scans_420", {.separate_scans = true}},
        JpegKind{"progressive_420", {.progressive = true}},
        JpegKind{"progressive_444", {.planes = Planes::k444, .progressive = true}},
        JpegKind{"progressive_restarts", {.progressive = true, .restart_interval = 2}},
        JpegKind{"arithmetic_420", {.arithmetic = true}},
        JpegKind{"arithmetic_restarts", {.arithmetic = true, .restart_interval = 2}},
        JpegKind{"low_quality_420", {.quality = 8}}),
    [](const auto& kind) { return std::string(kind.param.name); });

TEST(Decoder, ProgressiveWithScansMissingIsSmoothedAlikeInEveryRegion) {
  const Size size{150, 110};
  const Bytes whole = MakeJpeg({.progressive = true}, size, 3);
  const std::vector<std::size_t> scans = FindScans(whole);
  ASSERT_GE(scans.size(), 4u);
  // Legal: only the first scans, which hold no fine detail, and then the end of the picture.
  Bytes jpeg(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(scans[2]));
  jpeg.push_back(std::byte{0xFF});
  jpeg.push_back(std::byte{0xD9});
  Decoder decoder;
  Image full;
  Image part;
  ASSERT_TRUE(decoder.DecodeFull(jpeg, &full));
  RandomStream random(RandomKey{}, 1);
  for (const Box box : Boxes(size, &random)) {
    ASSERT_TRUE(decoder.Decode(RecordOf(jpeg, size), box, &part));
    EXPECT_TRUE(IsRegionOf(full, box, part)) << Describe(size, box);
  }
}

TEST(Decoder, GrayGivesThreeEqualChannels) {
  const JpegSpec kind{.planes = Planes::kGray};
  Decoder decoder;
  Image image;
  ASSERT_TRUE(decoder.DecodeFull(MakeJpeg(kind, {40, 30}, 1), &image));
  for (int y = 0; y < image.height(); ++y) {
    for (int x = 0; x < image.width(); ++x) {
      const std::uint8_t* pixel = image.row(y) + x * kChannels;
      ASSERT_TRUE(pixel[0] == pixel[1] && pixel[1] == pixel[2]);
    }
  }
}

TEST(Decoder, PngRegionEqualsFullDecode) {
  Decoder decoder;
  Image full;
  Image part;
  std::uint64_t seed = 0;
  for (const Size size : kSizes) {
    RandomStream random(RandomKey{.seed = ++seed}, 1);
    const Bytes png = test::MakePng(size.width, size.height, seed);
    ASSERT_TRUE(decoder.DecodeFull(png, &full));
    const auto pixels = test::MakePixels(size.width, size.height, seed);
    ASSERT_EQ(full.row_bytes() * static_cast<std::size_t>(full.height()), pixels.size());
    EXPECT_EQ(std::memcmp(full.row(0), pixels.data(), pixels.size()), 0);
    for (const Box box : Boxes(size, &random)) {
      const Outcome outcome = decoder.Decode(RecordOf(png, size), box, &part);
      ASSERT_TRUE(outcome) << Describe(size, box) << ": " << outcome.fault().message;
      EXPECT_TRUE(IsRegionOf(full, box, part)) << Describe(size, box);
    }
  }
}

TEST(Decoder, GrayPngGivesThreeEqualChannels) {
  const Bytes png = storage::MakePngPayload(
      {.width = 3, .height = 2, .channels = 1, .bytes = {0, 50, 100, 150, 200, 250}});
  Decoder decoder;
  Image image;
  ASSERT_TRUE(decoder.Decode(RecordOf(png, {3, 2}), {1, 0, 2, 2}, &image));
  const std::uint8_t expected[] = {50, 50, 50, 100, 100, 100, 200, 200, 200, 250, 250, 250};
  EXPECT_EQ(std::memcmp(image.row(0), expected, sizeof(expected)), 0);
}

// Has room for exactly as many rows as may come next.
class CollectedRows final : public RowSink {
 public:
  explicit CollectedRows(Box region) { image_.Resize(region.width, region.height); }

  std::uint8_t* Room() override {
    room_ = Bytes(image_.row_bytes() * static_cast<std::size_t>(Next()));
    return reinterpret_cast<std::uint8_t*>(room_.data());
  }
  void Take(int count) override {
    EXPECT_EQ(count, Next());
    std::memcpy(image_.row(taken_), room_.data(), room_.size());
    taken_ += count;
  }

  int taken() const { return taken_; }
  const Image& image() const { return image_; }

 private:
  int Next() const { return std::min(kRowsTogether, image_.height() - taken_); }

  Image image_;
  Bytes room_;
  int taken_ = 0;
};

TEST(Decoder, RowsAreThoseOfTheRegion) {
  Decoder decoder(DecodeEngine::kRegion);
  storage::JpegRepacker repacker;
  Image full;
  std::uint64_t seed = 0;
  for (const Planes planes :
       {Planes::kGray, Planes::k444, Planes::k422, Planes::k420, Planes::k440}) {
    // Of one band of MCU rows, and of several.
    for (const Size size : {Size{60, 43}, Size{517, 331}}) {
      const Bytes jpeg = MakeJpeg({.planes = planes}, size, ++seed);
      const storage::RecordView record = test::Pack(repacker, jpeg);
      ASSERT_TRUE(decoder.DecodeFull(jpeg, &full));
      RandomStream random(RandomKey{.seed = seed}, 1);
      for (const Box box : Boxes(size, &random)) {
        CollectedRows rows(box);
        ASSERT_TRUE(decoder.DecodeRows(record, box, &rows)) << Describe(size, box);
        EXPECT_EQ(rows.taken(), box.height);
        EXPECT_TRUE(IsRegionOf(full, box, rows.image())) << Describe(size, box);
      }
    }
  }
  EXPECT_GT(decoder.counts().region, 0u);
  EXPECT_EQ(decoder.counts().libjpeg_turbo, 0u);
}

TEST(Decoder, RowsComeFromTheRegionDecoderOnly) {
  const Box box{1, 2, 30, 20};
  storage::JpegRepacker repacker;
  const Bytes jpeg = MakeJpeg({}, {40, 30}, 1);
  const storage::RecordView record = test::Pack(repacker, jpeg);
  CollectedRows rows(box);
  Decoder regions(DecodeEngine::kRegion);
  EXPECT_FALSE(Decoder(DecodeEngine::kLibjpegTurbo).DecodeRows(record, box, &rows));
  EXPECT_FALSE(regions.DecodeRows(RecordOf(jpeg, {40, 30}), box, &rows)) << "without an index";
  EXPECT_FALSE(regions.DecodeRows(RecordOf(test::MakePng(40, 30, 1), {40, 30}), box, &rows));
  EXPECT_EQ(rows.taken(), 0);
  EXPECT_EQ(regions.counts().region, 0u);
  EXPECT_TRUE(regions.DecodeRows(record, box, &rows));
  EXPECT_EQ(regions.counts().region, 1u);
}

std::string FaultOf(const Bytes& jpeg, Size size = {40, 30}) {
  Decoder decoder;
  Image image;
  const Outcome outcome =
      decoder.Decode(RecordOf(jpeg, size), {0, 0, size.width, size.height}, &image);
  return outcome ? "no fault" : outcome.fault().message;
}

TEST(Decoder, BadDataIsAFaultWithLibjpegsText) {
  const Bytes good = MakeJpeg({}, {40, 30}, 1);
  EXPECT_EQ(FaultOf(good), "no fault");
  EXPECT_THAT(FaultOf({}), HasSubstr("Empty input file"));
  EXPECT_THAT(FaultOf({std::byte{0x89}, std::byte{'P'}, std::byte{'N'}, std::byte{'G'}}),
              HasSubstr("Not a JPEG file"));
  const Bytes half(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(good.size() / 2));
  EXPECT_THAT(FaultOf(half), HasSubstr("Premature end of JPEG file"));
  Bytes garbage = good;
  std::fill(garbage.begin() + static_cast<std::ptrdiff_t>(FindScans(good)[0]) + 40,
            garbage.end() - 40, std::byte{0x55});
  EXPECT_THAT(FaultOf(garbage), HasSubstr("Corrupt JPEG data"));
}

TEST(Decoder, BadPngIsAFaultWithItsReason) {
  const Bytes good = test::MakePng(40, 30, 1);
  EXPECT_EQ(FaultOf(good), "no fault");
  const Bytes half(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(good.size() / 2));
  EXPECT_EQ(FaultOf(half), "a truncated PNG: the file ends before the picture does");
  Bytes garbage = good;
  garbage[garbage.size() / 2] ^= std::byte{0x10};
  EXPECT_THAT(FaultOf(garbage), HasSubstr("a corrupt PNG ("));
  EXPECT_EQ(FaultOf(test::MakePng(40, 31, 1)),
            "the PNG is 40x31 pixels where 40x30 were announced");
  Bytes absurd = good;
  test::SetPngSize(&absurd, 60000, 60000);
  EXPECT_EQ(FaultOf(absurd), "a PNG of more than 64 million pixels; make it smaller");
  EXPECT_EQ(FaultOf(test::MakePngOf({.width = 40, .height = 30, .depth = 16})),
            "a PNG of another kind than conversion writes (8 bits, gray or RGB)");
}

TEST(Decoder, CmykIsAFaultThatSaysWhatToDo) {
  const JpegSpec kind{.planes = Planes::kCmyk};
  EXPECT_THAT(FaultOf(MakeJpeg(kind, {40, 30}, 1)), HasSubstr("CMYK"));
  EXPECT_THAT(FaultOf(MakeJpeg(kind, {40, 30}, 1)), HasSubstr("--on-bad repair"));
}

TEST(Decoder, OtherSizeThanAnnouncedIsAFault) {
  EXPECT_EQ(FaultOf(MakeJpeg({}, {40, 31}, 1)),
            "the JPEG is 40x31 pixels where 40x30 were announced");
}

TEST(Decoder, AbsurdSizeIsAFault) {
  Bytes jpeg = MakeJpeg({}, {40, 30}, 1);
  for (std::size_t i = 0; i + 8 < jpeg.size(); ++i) {
    if (jpeg[i] != std::byte{0xFF} || jpeg[i + 1] != std::byte{0xC0}) continue;
    std::fill_n(jpeg.begin() + static_cast<std::ptrdiff_t>(i) + 5, 4, std::byte{0xFE});
    break;
  }
  EXPECT_THAT(FaultOf(jpeg), HasSubstr("announces 65278x65278 pixels"));
}

TEST(Decoder, OdditiesOfTheHeaderThatAreStoredAreNoFault) {
  Bytes revision = MakeJpeg({}, {40, 30}, 1);
  revision[11] = std::byte{9};  // of JFIF, in the APP0 marker
  Bytes scan = MakeJpeg({}, {40, 30}, 1);
  std::byte& last = scan[FindScans(scan).at(0) + 12];  // coefficient, which baseline ignores
  ASSERT_EQ(last, std::byte{63});
  last = std::byte{0};
  for (const Bytes& jpeg : {revision, scan}) {
    EXPECT_TRUE(storage::CheckJpeg(jpeg).ok());
    EXPECT_EQ(FaultOf(jpeg), "no fault");
  }
}

TEST(Decoder, DamageNeverHarmsTheNextPicture) {
  const Size size{70, 50};
  Decoder decoder;
  Image expected;
  Image image;
  const Bytes kinds[] = {MakeJpeg({}, size, 1), MakeJpeg({.progressive = true}, size, 2),
                         MakeJpeg({.restart_interval = 2}, size, 3),
                         test::MakePng(size.width, size.height, 4)};
  ASSERT_TRUE(decoder.DecodeFull(kinds[0], &expected));
  RandomStream random(RandomKey{.seed = 9}, 0);
  int faults = 0;
  for (int round = 0; round < 1500; ++round) {
    Bytes bad = kinds[round % 4];
    for (std::uint32_t i = 0; i <= random.Below(4); ++i) {
      bad[random.Below(static_cast<std::uint32_t>(bad.size()))] =
          static_cast<std::byte>(random.Below(256));
    }
    if (round % 5 == 0) bad.resize(random.Below(static_cast<std::uint32_t>(bad.size())));
    // The region is inside of the picture at half its size too; a PNG has its own size only.
    const int scale = round % 8 < 3 ? 4 : kFullScale;
    if (!decoder.Decode(RecordOf(bad, size), {5, 10, 30, 15}, &image, scale)) ++faults;
    if (round % 10 != 0) continue;
    ASSERT_TRUE(decoder.Decode(RecordOf(kinds[0], size), {0, 0, size.width, size.height}, &image));
    ASSERT_TRUE(IsRegionOf(expected, {0, 0, size.width, size.height}, image)) << round;
  }
  EXPECT_GT(faults, 300);
}

}  // namespace
}  // namespace millrace::stages
