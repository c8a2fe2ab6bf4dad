// Regions decoded through the region index, judged by the decode of the whole picture.
#include "stages/region_jpeg.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "stages/decode.h"
#include "stages/decode_scale.h"
#include "storage/jpeg_repack.h"
#include "tests/stages/regions.h"
#include "tests/support/tar_reader.h"
#include "tests/support/tiny_images.h"
#include "tests/support/torture_jpegs.h"

namespace millrace::stages {
namespace {

using storage::JpegRepacker;
using storage::RecordView;
using test::MakeJpeg;
using test::Planes;

class RegionJpegTest : public ::testing::Test {
 protected:
  // Decodes `boxes` regions of the picture, and at smaller scales as many as there are ways to
  // touch its edges.
  void ExpectRegionsAreTheWhole(std::span<const std::byte> jpeg, int boxes, std::uint64_t seed) {
    const RecordView record = test::Pack(repacker_, jpeg);
    if (HasFailure()) return;
    for (const int scale : {8, 4, 2, 1}) {
      full_ = test::DecodeWhole(record.payload, scale);
      ExpectRegionsAreTheWhole(record, scale, scale == kFullScale ? boxes : 16, seed);
      if (HasFatalFailure()) return;
    }
  }

  // The same at one scale, of whose whole picture full_ is.
  void ExpectRegionsAreTheWhole(const RecordView& record, int scale, int boxes,
                                std::uint64_t seed) {
    const Size size{full_.width(), full_.height()};
    RandomStream random({.seed = seed}, 0);
    for (int i = 0; i < boxes; ++i) {
      const Box box = test::RandomBox(size, static_cast<unsigned>(i % 16), random);
      if (region_jpeg_.Assemble(record, box, scale)) {
        ++assembled_;
        EXPECT_LT(region_jpeg_.jpeg().size(), record.payload.size());
      }
      const Outcome outcome = decoder_.Decode(record, box, &part_, scale);
      ASSERT_TRUE(outcome) << outcome.fault().message;
      ASSERT_TRUE(ShowsRegion(box))
          << fmt::format("{}x{} at scale {}, region {}x{} at {},{}", size.width, size.height, scale,
                         box.width, box.height, box.x, box.y);
    }
  }

  bool ShowsRegion(Box box) const { return test::IsRegionOf(full_, box, part_); }

  JpegRepacker repacker_;
  Decoder decoder_{DecodeEngine::kLibjpegTurbo};
  RegionJpeg region_jpeg_;
  Image full_;
  Image part_;
  int assembled_ = 0;
};

TEST_F(RegionJpegTest, RegionsOfEverySamplingAreThoseOfTheWhole) {
  std::uint64_t seed = 0;
  for (const auto planes : {Planes::kGray, Planes::k444, Planes::k422, Planes::k420, Planes::k440,
                            Planes::k411, Planes::k410, Planes::k441, Planes::kRgb}) {
    // Of one segment, of few, of many; also where MCUs reach beyond the edges.
    for (const Size size : {Size{1, 1}, {9, 130}, {130, 9}, {128, 64}, {200, 150}, {517, 131}}) {
      SCOPED_TRACE(fmt::format("planes {}", static_cast<int>(planes)));
      ++seed;
      ExpectRegionsAreTheWhole(
          MakeJpeg({.width = size.width, .height = size.height, .seed = seed, .planes = planes}),
          64, seed);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(assembled_, 1500);
}

TEST_F(RegionJpegTest, RegionsOfTheTortureSetAreThoseOfTheWhole) {
  std::uint64_t seed = 0;
  for (const auto& [name, bytes] : test::MakeTortureJpegs()) {
    SCOPED_TRACE(name);
    ExpectRegionsAreTheWhole(bytes, 16, ++seed);
    if (HasFailure()) return;
  }
}

TEST_F(RegionJpegTest, OnlyWhatTheRegionNeedsIsThere) {
  const RecordView record = test::Pack(repacker_, MakeJpeg({.width = 512, .height = 512}));
  ASSERT_TRUE(region_jpeg_.Assemble(record, {200, 200, 40, 40}));
  // Segments of 64 x 16 pixels, with a context of 2 pixels.
  EXPECT_EQ(region_jpeg_.picture(), (Size{64, 64}));
  EXPECT_EQ(region_jpeg_.region(), (Box{8, 8, 40, 40}));
  ASSERT_TRUE(region_jpeg_.Assemble(record, {510, 0, 2, 512}));
  EXPECT_EQ(region_jpeg_.picture(), (Size{64, 512}));
  EXPECT_FALSE(region_jpeg_.Assemble(record, {0, 0, 512, 512}));
  EXPECT_FALSE(region_jpeg_.Assemble(record, {60, 14, 440, 490}));
}

TEST_F(RegionJpegTest, RecordsWithoutAnIndexAreDecodedAllTheSame) {
  RecordView record = test::Pack(repacker_, MakeJpeg({.width = 300, .height = 200}));
  record.region_index = {};
  EXPECT_FALSE(region_jpeg_.Assemble(record, {10, 10, 20, 20}));
  ASSERT_TRUE(decoder_.DecodeFull(record.payload, &full_));
  ASSERT_TRUE(decoder_.Decode(record, {10, 10, 20, 20}, &part_));
  EXPECT_TRUE(ShowsRegion({10, 10, 20, 20}));
}

TEST_F(RegionJpegTest, AnIndexOfAnotherPictureIsNotUsed) {
  const RecordView good = test::Pack(repacker_, MakeJpeg({.width = 300, .height = 200}));
  ASSERT_TRUE(region_jpeg_.Assemble(good, {10, 10, 20, 20}));
  RecordView interval = good;
  ++interval.region_index.segment_mcus;
  RecordView fewer = good;
  fewer.region_index.segment_bytes = good.region_index.segment_bytes.first(7);
  RecordView other_size = good;
  ++other_size.height;
  std::vector<std::uint16_t> shifted(good.region_index.segment_bytes.begin(),
                                     good.region_index.segment_bytes.end());
  ++shifted[0];
  RecordView moved = good;
  moved.region_index.segment_bytes = shifted;
  std::vector<std::uint16_t> large(good.region_index.segment_bytes.size(), 65535);
  RecordView beyond = good;
  beyond.region_index.segment_bytes = large;
  RecordView cut = good;
  cut.payload = good.payload.first(400);
  for (const RecordView& record : {interval, fewer, other_size, moved, beyond, cut}) {
    EXPECT_FALSE(region_jpeg_.Assemble(record, {10, 10, 20, 20}));
  }
}

// Whatever the bytes are, a decode ends with pixels or a fault.
TEST_F(RegionJpegTest, DamageEndsInAFaultOrInPixels) {
  const RecordView good = test::Pack(repacker_, MakeJpeg({.width = 300, .height = 200}));
  RandomStream random({}, 0);
  int faults = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::byte> payload(good.payload.begin(), good.payload.end());
    std::vector<std::uint16_t> segments(good.region_index.segment_bytes.begin(),
                                        good.region_index.segment_bytes.end());
    RecordView record = good;
    for (int i = test::Below(random, 4); i >= 0; --i) {
      payload[random.Below(static_cast<std::uint32_t>(payload.size()))] =
          static_cast<std::byte>(random.Below(256));
    }
    if (round % 3 == 0) {
      segments[random.Below(static_cast<std::uint32_t>(segments.size()))] =
          static_cast<std::uint16_t>(random.Below(1 << 16));
    }
    if (round % 5 == 0) payload.resize(random.Below(static_cast<std::uint32_t>(payload.size())));
    record.payload = payload;
    record.region_index.segment_bytes = segments;
    const int scale = 1 << (round / 16 % 4);
    const Box box =
        test::RandomBox(ScaledSize({300, 200}, scale), static_cast<unsigned>(round % 16), random);
    faults += decoder_.Decode(record, box, &part_, scale) ? 0 : 1;
  }
  EXPECT_GT(faults, 500);
}

TEST_F(RegionJpegTest, RegionsOfImageNetOriginalsAreThoseOfTheWhole) {
  const auto path = millrace::testing::TestData("imagenet-originals-200.tar");
  if (path.empty()) GTEST_SKIP() << "set MILLRACE_TEST_DATA to the folder with the originals";
  std::uint64_t seed = 0;
  for (const auto& file : millrace::testing::ReadTar(path, ".JPEG")) {
    SCOPED_TRACE(file.name);
    ExpectRegionsAreTheWhole(file.bytes, 50, ++seed);
    if (HasFailure()) return;
  }
  EXPECT_EQ(seed, 200u);
}

}  // namespace
}  // namespace millrace::stages
