// The region decoder, judged by libjpeg-turbo's decode of the whole picture.
#include "stages/region/region_decoder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "stages/decode.h"
#include "stages/simd.h"
#include "tests/stages/regions.h"
#include "tests/support/tar_reader.h"
#include "tests/support/tiny_images.h"
#include "tests/support/torture_jpegs.h"

namespace millrace::stages::region {
namespace {

using storage::RecordView;
using test::Below;
using test::MakeJpeg;
using test::Planes;
using test::RandomBox;

class RegionDecoderTest : public ::testing::Test {
 protected:
  // Decodes `boxes` regions of the picture, and as many as there are ways to touch its edges.
  void ExpectRegionsAreTheWhole(std::span<const std::byte> jpeg, int boxes, std::uint64_t seed) {
    const RecordView record = test::Pack(repacker_, jpeg);
    if (HasFailure()) return;
    ASSERT_TRUE(judge_.DecodeFull(record.payload, &full_));
    const Size size{full_.width(), full_.height()};
    RandomStream random({.seed = seed}, 0);
    for (int i = 0; i < boxes; ++i) {
      const Box box = RandomBox(size, static_cast<unsigned>(i % 16), random);
      ++asked_;
      if (!decoder_.Decode(record, box, &part_)) continue;
      ++decoded_;
      ASSERT_TRUE(test::IsRegionOf(full_, box, part_))
          << fmt::format("{}x{}, region {}x{} at {},{}", size.width, size.height, box.width,
                         box.height, box.x, box.y);
    }
  }

  storage::JpegRepacker repacker_;
  Decoder judge_{DecodeEngine::kLibjpegTurbo};
  RegionDecoder decoder_;
  Image full_;
  Image part_;
  int asked_ = 0;
  int decoded_ = 0;
};

// As millrace stores them.
constexpr Planes kKnown[] = {Planes::kGray, Planes::k444, Planes::k422, Planes::k420, Planes::k440};
// Of one segment, of few, of many; also where MCUs reach beyond the edges.
constexpr Size kSizes[] = {{5, 3}, {9, 130}, {130, 9}, {128, 64}, {200, 150}, {517, 131}};

TEST_F(RegionDecoderTest, RegionsOfEverySamplingAreThoseOfTheWhole) {
  std::uint64_t seed = 0;
  for (const auto planes : kKnown) {
    for (const Size size : kSizes) {
      SCOPED_TRACE(fmt::format("planes {}", static_cast<int>(planes)));
      ++seed;
      ExpectRegionsAreTheWhole(
          MakeJpeg({.width = size.width, .height = size.height, .seed = seed, .planes = planes}),
          64, seed);
      if (HasFailure()) return;
    }
  }
  EXPECT_EQ(decoded_, asked_);
}

class RegionDecoderTargets : public ::testing::TestWithParam<std::string> {
 protected:
  ~RegionDecoderTargets() override { UseSimdTarget(""); }
};

TEST_P(RegionDecoderTargets, PixelsAreTheSame) {
  if (GetParam() != "scalar") UseSimdTarget(GetParam());
  RegionDecoder decoder(GetParam() == "scalar" ? Kernels::kScalar : Kernels::kSimd);
  storage::JpegRepacker repacker;
  Decoder judge;
  Image full;
  Image part;
  RandomStream random({.seed = 7}, 0);
  for (const auto planes : kKnown) {
    for (const Size size : kSizes) {
      const std::string jpeg = "planes " + std::to_string(static_cast<int>(planes));
      SCOPED_TRACE(jpeg);
      const auto bytes = MakeJpeg({.width = size.width, .height = size.height, .planes = planes});
      const RecordView record = test::Pack(repacker, bytes);
      ASSERT_TRUE(judge.DecodeFull(record.payload, &full));
      for (unsigned edges = 0; edges < 16; ++edges) {
        const Box box = RandomBox(size, edges, random);
        ASSERT_TRUE(decoder.Decode(record, box, &part));
        ASSERT_TRUE(test::IsRegionOf(full, box, part));
      }
    }
  }
}

std::vector<std::string> Targets() {
  std::vector<std::string> targets = SimdTargets();
  targets.emplace_back("scalar");
  return targets;
}

INSTANTIATE_TEST_SUITE_P(Simd, RegionDecoderTargets, ::testing::ValuesIn(Targets()));

TEST_F(RegionDecoderTest, RegionsOfTheTortureSetAreThoseOfTheWhole) {
  std::uint64_t seed = 0;
  for (const auto& [name, bytes] : test::MakeTortureJpegs()) {
    SCOPED_TRACE(name);
    ExpectRegionsAreTheWhole(bytes, 64, ++seed);
    if (HasFailure()) return;
  }
  EXPECT_GT(decoded_, asked_ / 2);
}

TEST_F(RegionDecoderTest, WhatItDoesNotKnowIsLeftToOthers) {
  for (const auto planes : {Planes::k411, Planes::k410, Planes::k441, Planes::kRgb}) {
    const RecordView record =
        test::Pack(repacker_, MakeJpeg({.width = 200, .height = 100, .planes = planes}));
    EXPECT_FALSE(decoder_.Decode(record, {10, 10, 20, 20}, &part_));
  }
  RecordView without = test::Pack(repacker_, MakeJpeg({.width = 200, .height = 100}));
  EXPECT_TRUE(decoder_.Decode(without, {10, 10, 20, 20}, &part_));
  without.region_index = {};
  EXPECT_FALSE(decoder_.Decode(without, {10, 10, 20, 20}, &part_));
}

// Of each sampling; 100,000 in all where no sanitizer makes each of them ten times as long.
#ifdef NDEBUG
constexpr int kDamagedOfEach = 20'000;
#else
constexpr int kDamagedOfEach = 2'000;
#endif

// With damage it ends as libjpeg-turbo ends, or leaves the picture to it.
TEST_F(RegionDecoderTest, DamagedPicturesHaveThePixelsOfLibjpegOrNone) {
  RandomStream random({.seed = 3}, 0);
  int faults = 0;
  int differ = 0;
  Image judged;
  for (const auto planes : kKnown) {
    const RecordView good =
        test::Pack(repacker_, MakeJpeg({.width = 300, .height = 200, .planes = planes}));
    for (int round = 0; round < kDamagedOfEach; ++round) {
      const test::DamagedRecord damaged = test::Damage(good, static_cast<unsigned>(round), random);
      const RecordView& record = damaged.record;
      const Box box = RandomBox({300, 200}, static_cast<unsigned>(round % 16), random);
      if (!decoder_.Decode(record, box, &part_)) {
        ++faults;
        continue;
      }
      const Outcome outcome = judge_.Decode(record, box, &judged);
      ASSERT_TRUE(outcome) << outcome.fault().message;
      const Box all{0, 0, box.width, box.height};
      ASSERT_TRUE(test::IsRegionOf(judged, all, part_)) << "round " << round;
      ++differ;
    }
  }
  EXPECT_GT(faults, kDamagedOfEach / 2);
  EXPECT_GT(differ, kDamagedOfEach / 2);
}

TEST_F(RegionDecoderTest, RegionsOfImageNetOriginalsAreThoseOfTheWhole) {
  const auto path = millrace::testing::TestData("imagenet-originals-200.tar");
  if (path.empty()) GTEST_SKIP() << "set MILLRACE_TEST_DATA to the folder with the originals";
  std::uint64_t seed = 0;
  for (const auto& file : millrace::testing::ReadTar(path, ".JPEG")) {
    SCOPED_TRACE(file.name);
    ExpectRegionsAreTheWhole(file.bytes, 50, ++seed);
    if (HasFailure()) return;
  }
  EXPECT_EQ(seed, 200u);
  EXPECT_GT(decoded_, asked_ * 95 / 100);
}

TEST_F(RegionDecoderTest, RegionsOfImagenetteFilesAreThoseOfTheWhole) {
  const auto path = millrace::testing::TestData("imagenette-224.tar");
  if (path.empty()) GTEST_SKIP() << "set MILLRACE_TEST_DATA to the folder with Imagenette";
  constexpr std::uint64_t kFiles = 2000;
  std::uint64_t seed = 0;
  const auto files = millrace::testing::ReadTar(path, ".JPEG");
  // Over all classes.
  for (std::size_t i = 0; i < files.size() && seed < kFiles; i += files.size() / kFiles) {
    SCOPED_TRACE(files[i].name);
    ExpectRegionsAreTheWhole(files[i].bytes, 4, ++seed);
    if (HasFailure()) return;
  }
  EXPECT_EQ(seed, kFiles);
  EXPECT_GT(decoded_, asked_ * 95 / 100);
}

}  // namespace
}  // namespace millrace::stages::region
