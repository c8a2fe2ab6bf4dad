// The text of the device's kernels, run on the CPU and judged by libjpeg-turbo's decode of the
// whole picture, by the CPU's resize and by its hash.
#include "tests/stages/gpu/twin.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "stages/gpu/batch_layout.h"
#include "tests/stages/gpu/decode_cases.h"
#include "tests/stages/gpu/picture_batch.h"
#include "tests/stages/regions.h"
#include "tests/support/tar_reader.h"
#include "tests/support/tiny_images.h"
#include "tests/support/torture_jpegs.h"

namespace millrace::stages::gpu {
namespace {

using storage::RecordView;
using test::Below;
using test::MakeJpeg;
using test::Planes;

constexpr Planes kKnown[] = {Planes::kGray, Planes::k444, Planes::k422, Planes::k420, Planes::k440};
// Of one segment, of few, of many; also where MCUs reach beyond the edges.
constexpr Size kSizes[] = {{5, 3}, {9, 130}, {130, 9}, {128, 64}, {200, 150}, {517, 131}};

std::string DifferenceOf(const PictureBatch& batch) {
  const TwinBatch decoded = DecodeByTwin(batch.pictures(), batch.bytes(), batch.image_bytes());
  return batch.Difference(decoded.pixels, decoded.results);
}

TEST(GpuTwin, CropsOfEverySamplingAreThoseOfTheCpu) {
  std::uint64_t seed = 0;
  for (const Planes planes : kKnown) {
    for (const Size size : kSizes) {
      PictureBatch batch({40, 30});
      const auto jpeg =
          MakeJpeg({.width = size.width, .height = size.height, .seed = ++seed, .planes = planes});
      EXPECT_EQ(AddCrops(jpeg, 16, seed, {40, 30}, &batch), 16);
      ASSERT_EQ(DifferenceOf(batch), "")
          << fmt::format("planes {}, {}x{}", static_cast<int>(planes), size.width, size.height);
    }
  }
}

TEST(GpuTwin, CropsOfTheTortureSetAreThoseOfTheCpu) {
  std::uint64_t seed = 0;
  int added = 0;
  for (const auto& [name, bytes] : test::MakeTortureJpegs()) {
    PictureBatch batch({33, 21});
    added += AddCrops(bytes, 16, ++seed, {33, 21}, &batch);
    ASSERT_EQ(DifferenceOf(batch), "") << name;
  }
  EXPECT_GT(added, static_cast<int>(seed) * 16 / 2);
}

TEST(GpuTwin, CropsOfImageNetOriginalsAreThoseOfTheCpu) {
  const auto path = millrace::testing::TestData("imagenet-originals-200.tar");
  if (path.empty()) GTEST_SKIP() << "set MILLRACE_TEST_DATA to the folder with the originals";
  std::uint64_t seed = 0;
  int added = 0;
  for (const auto& file : millrace::testing::ReadTar(path, ".JPEG")) {
    PictureBatch batch({64, 48});
    added += AddCrops(file.bytes, 4, ++seed, {64, 48}, &batch);
    ASSERT_EQ(DifferenceOf(batch), "") << file.name;
  }
  EXPECT_EQ(seed, 200u);
  EXPECT_GT(added, 200 * 4 * 95 / 100);
}

// Of the sizes that a picture may have when it is finished: with a rest of every kind for the
// digest, from the smallest that has one.
TEST(GpuTwin, PicturesOfEverySizeHaveTheDigestOfTheCpu) {
  const auto jpeg = MakeJpeg({.width = 90, .height = 70});
  for (const Size finished :
       {Size{9, 9}, {11, 31}, {16, 16}, {32, 32}, {100, 1}, {1, 341}, {64, 64}, {224, 224}}) {
    PictureBatch batch(finished);
    EXPECT_EQ(AddCrops(jpeg, 8, 1, finished, &batch), 8);
    ASSERT_EQ(DifferenceOf(batch), "") << fmt::format("{}x{}", finished.width, finished.height);
  }
}

// Pillow 12 takes the vertical pass first only then.
TEST(GpuTwin, CropAHundredTimesAsHighAsWideIsThatOfTheCpu) {
  storage::JpegRepacker repacker;
  const RecordView record = test::Pack(repacker, MakeJpeg({.width = 64, .height = 600}));
  Decoder judge(DecodeEngine::kLibjpegTurbo);
  Image full;
  ASSERT_TRUE(judge.DecodeFull(record.payload, &full));
  Geometry geometry;
  geometry.crop = {13, 5, 2, 590};
  geometry.resized = {20, 40};
  geometry.window = {0, 0, 20, 40};
  geometry.mode = ResizeMode::kPillow12;
  ASSERT_EQ(PassesOf(geometry), ResizePasses::kVerticalFirst);
  PictureBatch batch({20, 40});
  ASSERT_TRUE(batch.Add(record, geometry, full));
  EXPECT_EQ(DifferenceOf(batch), "");
}

TEST(GpuTwin, FinishedPicturesAndSmallMemoriesChangeNothing) {
  PictureBatch batch({32, 24});
  for (std::uint64_t i = 0; i < 12; ++i) {
    batch.AddFinished(i);
    AddCrops(MakeJpeg({.width = 300, .height = 200, .seed = i}), 3, i, {32, 24}, &batch);
  }
  for (const std::uint64_t most_memory : {1ull, 1ull << 20, 1ull << 30}) {
    const TwinBatch decoded =
        DecodeByTwin(batch.pictures(), batch.bytes(), batch.image_bytes(), most_memory);
    EXPECT_EQ(batch.Difference(decoded.pixels, decoded.results), "") << most_memory;
  }
}

// With damage a picture has the pixels of libjpeg-turbo, or says that it does not know them.
TEST(GpuTwin, DamagedPicturesHaveThePixelsOfLibjpegOrNone) {
  RandomStream random({.seed = 3}, 0);
  int refused = 0;
  int damaged = 0;
  int decoded = 0;
  Decoder judge(DecodeEngine::kLibjpegTurbo);
  Resizer resizer;
  Image part;
  const Size finished{24, 18};
  std::vector<std::byte> room(1 << 18);
  std::vector<std::uint8_t> expected(static_cast<std::size_t>(finished.width * finished.height) *
                                     kChannels);
  storage::JpegRepacker repacker;
  for (const Planes planes : kKnown) {
    const RecordView good =
        test::Pack(repacker, MakeJpeg({.width = 300, .height = 200, .planes = planes}));
    for (unsigned round = 0; round < 400; ++round) {
      std::vector<std::byte> payload(good.payload.begin(), good.payload.end());
      std::vector<std::uint16_t> segments(good.region_index.segment_bytes.begin(),
                                          good.region_index.segment_bytes.end());
      RecordView record = good;
      for (int i = Below(random, 4); i >= 0; --i) {
        auto& byte = payload[random.Below(static_cast<std::uint32_t>(payload.size()))];
        byte = round % 2 == 0 ? byte ^ static_cast<std::byte>(1 << random.Below(8))
                              : static_cast<std::byte>(random.Below(256));
      }
      if (round % 7 == 0) {
        segments[random.Below(static_cast<std::uint32_t>(segments.size()))] =
            static_cast<std::uint16_t>(random.Below(1 << 16));
      }
      if (round % 11 == 0) payload.resize(random.Below(static_cast<std::uint32_t>(payload.size())));
      record.payload = payload;
      record.region_index.segment_bytes = segments;
      const Geometry geometry = MakeGeometry({300, 200}, finished, round, random);
      auto plan = PlanPicture(record, geometry, room);
      if (!plan) {
        ++refused;
        continue;
      }
      // As long as it is, so that a sanitizer sees what is read behind it.
      const std::vector<std::byte> bytes(room.begin(),
                                         room.begin() + static_cast<std::ptrdiff_t>(plan->bytes));
      const TwinBatch batch =
          DecodeByTwin({&plan->picture, 1}, bytes, static_cast<std::uint32_t>(expected.size()));
      if (batch.results[0].is_damaged != 0) {
        ++damaged;
        continue;
      }
      ++decoded;
      const Outcome outcome = judge.Decode(record, SourceOf(geometry), &part);
      ASSERT_TRUE(outcome) << outcome.fault().message;
      resizer.Resize(geometry, part, expected.data(),
                     static_cast<std::size_t>(finished.width) * kChannels);
      ASSERT_EQ(batch.pixels, expected) << "round " << round;
    }
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(damaged, 200);
  EXPECT_GT(decoded, 400);
}

// A picture of three grey blocks side by side of which the last is kept, with such steps between
// their DC coefficients.
PictureResult DecodeSteps(const std::vector<int>& steps) {
  PictureData data{};
  std::fill_n(data.quantizers[0], kBlockSize, i16{1});
  // The only codes, of one bit: a step of 15 bits, and the end of the block.
  data.codes[0] = {.lengths = {1}, .symbols = {15}};
  data.codes[2] = {.lengths = {1}, .symbols = {0}};
  std::uint64_t bits = 0;
  for (const int step : steps) {
    // Negative steps are stored as one less.
    const int value = step < 0 ? step + (1 << 15) - 1 : step;
    bits = (bits << 1 | 0) << 15 | static_cast<std::uint64_t>(value);
    bits <<= 1;
  }
  bits <<= 5;  // up to 56 bits
  const SegmentPlace place{.word = (sizeof data + sizeof place) / 4, .bytes = 7};
  std::vector<std::byte> bytes(sizeof data + sizeof place + 8);
  std::memcpy(bytes.data(), &data, sizeof data);
  std::memcpy(bytes.data() + sizeof data, &place, sizeof place);
  for (std::size_t i = 0; i < place.bytes; ++i) {
    bytes[sizeof data + sizeof place + i] = static_cast<std::byte>(bits >> 8 * (6 - i));
  }
  Picture picture{};
  picture.kind = Kind::kSegments;
  picture.passes = Passes::kLinear;
  picture.planes = picture.segment_columns = picture.segments = picture.mcu_blocks = 1;
  picture.segment_mcus = 3;
  picture.plane[0] = {.h = 1,
                      .v = 1,
                      .mcu_block = 0,
                      .dc = 0,
                      .ac = 2,
                      .first_x = 2,
                      .first_y = 0,
                      .columns = 1,
                      .rows = 1,
                      .x = 16,
                      .y = 0,
                      .width = 24,
                      .height = 8,
                      .samples = 0};
  picture.x = 16;
  picture.width = picture.height = 8;
  picture.along_x = picture.along_y = {
      .crop = 8, .resized = 10, .begin = 0, .count = 10, .source = 0, .most_taps = 2};
  return DecodeByTwin({&picture, 1}, bytes, 300).results[0];
}

// Also where what is left of it in 16 bits looks as if nothing were wrong.
TEST(GpuTwin, DcCoefficientOfMoreThanSixteenBitsIsDamage) {
  EXPECT_EQ(DecodeSteps({32767, -16384, -16384}).is_damaged, 0u);
  EXPECT_NE(DecodeSteps({32767, 16384, 16385}).is_damaged, 0u);
  EXPECT_NE(DecodeSteps({-32767, -16384, -16385}).is_damaged, 0u);
}

// In a block, and between the two passes of its inverse DCT, where its numbers are four times as
// large.
TEST(GpuTwin, NumbersThatNoPictureHasAreDamage) {
  EXPECT_EQ(DecodeSteps({17000, -32000, 16500}).is_damaged, 0u);
  EXPECT_NE(DecodeSteps({20000, -32000, 16384}).is_damaged, 0u);
  EXPECT_NE(DecodeSteps({20000, -28000, 17000}).is_damaged, 0u);
}

}  // namespace
}  // namespace millrace::stages::gpu
