// The text of the device's kernels, run on the CPU.
#include "tests/stages/gpu/twin.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "stages/gpu/batch_layout.h"
#include "tests/stages/gpu/decode_cases.h"
#include "tests/stages/gpu/picture_batch.h"
#include "tests/stages/regions.h"
#include "tests/support/tar_reader.h"
#include "tests/support/tiny_images.h"

namespace millrace::stages::gpu {
namespace {

using storage::RecordView;
using test::MakeJpeg;

DecodedBatch Decode(std::span<const Picture> pictures, std::span<const std::byte> bytes,
                    Size finished) {
  return DecodeByTwin(pictures, bytes,
                      static_cast<std::uint32_t>(finished.width * finished.height * kChannels));
}

TEST(GpuTwin, CropsOfEverySamplingAreThoseOfTheCpu) {
  ExpectCropsOfEverySamplingAreThoseOfTheCpu(&Decode);
}

TEST(GpuTwin, CropsOfTheTortureSetAreThoseOfTheCpu) {
  ExpectCropsOfTheTortureSetAreThoseOfTheCpu(&Decode);
}

TEST(GpuTwin, CropsOfImageNetOriginalsAreThoseOfTheCpu) {
  const auto path = millrace::testing::TestData("imagenet-originals-200.tar");
  if (path.empty()) GTEST_SKIP() << "set MILLRACE_TEST_DATA to the folder with the originals";
  std::uint64_t seed = 0;
  int added = 0;
  for (const auto& file : millrace::testing::ReadTar(path, ".JPEG")) {
    PictureBatch batch({64, 48});
    added += AddCrops(file.bytes, 4, ++seed, batch.finished(), &batch);
    ASSERT_EQ(batch.Difference(Decode(batch.pictures(), batch.bytes(), batch.finished())), "")
        << file.name;
  }
  EXPECT_EQ(seed, 200u);
  EXPECT_GT(added, 200 * 4 * 95 / 100);
}

TEST(GpuTwin, PicturesOfEverySizeHaveTheDigestOfTheCpu) {
  ExpectPicturesOfEverySizeHaveTheDigestOfTheCpu(&Decode);
}

TEST(GpuTwin, DamagedPicturesHaveThePixelsOfLibjpegOrNone) {
  ExpectDamagedPicturesHaveThePixelsOfLibjpegOrNone(&Decode, 400, 1);
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
  EXPECT_EQ(batch.Difference(Decode(batch.pictures(), batch.bytes(), batch.finished())), "");
}

TEST(GpuTwin, FinishedPicturesAndSmallMemoriesChangeNothing) {
  PictureBatch batch({32, 24});
  for (std::uint64_t i = 0; i < 12; ++i) {
    batch.AddFinished(i);
    AddCrops(MakeJpeg({.width = 300, .height = 200, .seed = i}), 3, i, {32, 24}, &batch);
  }
  for (const std::uint64_t most_memory : {1ull, 1ull << 20, 1ull << 30}) {
    const DecodedBatch decoded =
        DecodeByTwin(batch.pictures(), batch.bytes(), batch.image_bytes(), most_memory);
    EXPECT_EQ(batch.Difference(decoded), "") << most_memory;
  }
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
