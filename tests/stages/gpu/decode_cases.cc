#include "tests/stages/gpu/decode_cases.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.h"
#include "stages/decode.h"
#include "stages/resize.h"
#include "storage/jpeg_repack.h"
#include "tests/stages/regions.h"
#include "tests/support/tiny_images.h"
#include "tests/support/torture_jpegs.h"

namespace millrace::stages::gpu {
namespace {

using storage::RecordView;
using test::Below;
using test::MakeJpeg;
using test::Planes;

constexpr Planes kKnown[] = {Planes::kGray, Planes::k444, Planes::k422, Planes::k420, Planes::k440};

// What of a picture is cropped, to what it is resized, what is kept of that, how it is flipped:
// different for each `number`.
Geometry MakeGeometry(Size picture, Size finished, unsigned number, RandomStream& random) {
  constexpr ResizeMode kModes[] = {ResizeMode::kPillow, ResizeMode::kPillow12, ResizeMode::kOpenCv};
  Geometry geometry;
  geometry.crop = test::RandomBox(picture, number % 16, random);
  geometry.mode = kModes[number / 16 % 3];
  const bool is_copied = number % 5 == 0 && geometry.crop.width >= finished.width &&
                         geometry.crop.height >= finished.height;
  // Of a resized crop now and then only a window is kept.
  const int more = number % 3 == 0 ? 30 : 1;
  geometry.resized =
      is_copied ? Size{geometry.crop.width, geometry.crop.height}
                : Size{finished.width + Below(random, more), finished.height + Below(random, more)};
  geometry.window = {Below(random, geometry.resized.width - finished.width + 1),
                     Below(random, geometry.resized.height - finished.height + 1), finished.width,
                     finished.height};
  geometry.flip_horizontal = Below(random, 2) == 1;
  geometry.flip_vertical = Below(random, 2) == 1;
  return geometry;
}

std::string DifferenceOf(const PictureBatch& batch, const DecodePictures& decode) {
  if (batch.size() == 0) return {};
  return batch.Difference(decode(batch.pictures(), batch.bytes(), batch.finished()));
}

}  // namespace

int AddCrops(std::span<const std::byte> jpeg, int count, std::uint64_t seed, Size finished,
             PictureBatch* batch) {
  storage::JpegRepacker repacker;
  const RecordView record = test::Pack(repacker, jpeg);
  Decoder judge(DecodeEngine::kLibjpegTurbo);
  Image full;
  const Outcome outcome = judge.DecodeFull(record.payload, &full);
  EXPECT_TRUE(outcome);
  if (!outcome) return 0;
  RandomStream random({.seed = seed}, 0);
  int added = 0;
  for (int i = 0; i < count; ++i) {
    const auto number = static_cast<unsigned>(seed) * 7 + static_cast<unsigned>(i);
    const Geometry geometry = MakeGeometry({full.width(), full.height()}, finished, number, random);
    if (batch->Add(record, geometry, full)) ++added;
  }
  return added;
}

void ExpectCropsOfEverySamplingAreThoseOfTheCpu(const DecodePictures& decode) {
  constexpr int kCrops = 16;
  constexpr Size kFinished{40, 30};
  std::uint64_t seed = 0;
  for (const Planes planes : kKnown) {
    for (const Size size : {Size{5, 3}, {9, 130}, {130, 9}, {128, 64}, {200, 150}, {517, 131}}) {
      PictureBatch batch(kFinished);
      const auto jpeg =
          MakeJpeg({.width = size.width, .height = size.height, .seed = ++seed, .planes = planes});
      EXPECT_EQ(AddCrops(jpeg, kCrops, seed, kFinished, &batch), kCrops);
      ASSERT_EQ(DifferenceOf(batch, decode), "")
          << fmt::format("planes {}, {}x{}", static_cast<int>(planes), size.width, size.height);
    }
  }
}

void ExpectCropsOfTheTortureSetAreThoseOfTheCpu(const DecodePictures& decode) {
  constexpr int kCrops = 16;
  std::uint64_t seed = 0;
  int added = 0;
  for (const auto& [name, bytes] : test::MakeTortureJpegs()) {
    PictureBatch batch({33, 21});
    added += AddCrops(bytes, kCrops, ++seed, batch.finished(), &batch);
    ASSERT_EQ(DifferenceOf(batch, decode), "") << name;
  }
  EXPECT_GT(added, static_cast<int>(seed) * kCrops / 2);
}

void ExpectPicturesOfEverySizeHaveTheDigestOfTheCpu(const DecodePictures& decode) {
  const auto jpeg = MakeJpeg({.width = 90, .height = 70});
  for (const Size finished :
       {Size{9, 9}, {11, 31}, {16, 16}, {32, 32}, {100, 1}, {1, 341}, {64, 64}, {224, 224}}) {
    PictureBatch batch(finished);
    EXPECT_EQ(AddCrops(jpeg, 8, 1, finished, &batch), 8);
    batch.AddFinished(1);
    ASSERT_EQ(DifferenceOf(batch, decode), "")
        << fmt::format("{}x{}", finished.width, finished.height);
  }
}

void ExpectDamagedPicturesHaveThePixelsOfLibjpegOrNone(const DecodePictures& decode,
                                                       unsigned rounds, std::size_t together) {
  constexpr Size kPicture{300, 200};
  constexpr Size kFinished{24, 18};
  constexpr std::size_t kImageBytes = std::size_t{24} * 18 * kChannels;
  struct Case {
    test::DamagedRecord damaged;
    Geometry geometry;
  };
  RandomStream random({.seed = 3}, 0);
  unsigned refused = 0;
  unsigned noticed = 0;
  unsigned decoded = 0;
  Decoder judge(DecodeEngine::kLibjpegTurbo);
  Resizer resizer;
  Image part;
  std::vector<std::byte> room(1 << 18);
  std::vector<std::uint8_t> expected(kImageBytes);
  std::vector<Case> cases;
  std::vector<Picture> pictures;
  std::vector<std::byte> bytes;
  const auto judge_all = [&] {
    if (pictures.empty()) return;
    const DecodedBatch batch = decode(pictures, bytes, kFinished);
    for (std::size_t i = 0; i < pictures.size(); ++i) {
      if (batch.results[i].is_damaged != 0) {
        ++noticed;
        continue;
      }
      ++decoded;
      const auto& [damaged, geometry] = cases[i];
      const Outcome outcome = judge.Decode(damaged.record, SourceOf(geometry), &part);
      ASSERT_TRUE(outcome) << outcome.fault().message;
      resizer.Resize(geometry, part, expected.data(),
                     static_cast<std::size_t>(kFinished.width) * kChannels);
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(),
                             batch.pixels.begin() + static_cast<std::ptrdiff_t>(i * kImageBytes)));
    }
    cases.clear();
    pictures.clear();
    bytes.clear();
    bytes.shrink_to_fit();  // so that a sanitizer sees what is read behind it
  };
  storage::JpegRepacker repacker;
  for (const Planes planes : kKnown) {
    const RecordView good = test::Pack(
        repacker, MakeJpeg({.width = kPicture.width, .height = kPicture.height, .planes = planes}));
    for (unsigned round = 0; round < rounds; ++round) {
      test::DamagedRecord damaged = test::Damage(good, round, random);
      const Geometry geometry = MakeGeometry(kPicture, kFinished, round, random);
      auto plan = PlanPicture(damaged.record, geometry, room);
      if (!plan) {
        ++refused;
        continue;
      }
      bytes.resize((bytes.size() + kBytesAlignment - 1) / kBytesAlignment * kBytesAlignment);
      plan->picture.bytes = bytes.size();
      plan->picture.output = static_cast<u32>(pictures.size());
      bytes.insert(bytes.end(), room.begin(),
                   room.begin() + static_cast<std::ptrdiff_t>(plan->bytes));
      pictures.push_back(plan->picture);
      cases.push_back({std::move(damaged), geometry});
      if (pictures.size() == together) judge_all();
      if (::testing::Test::HasFatalFailure()) return;
    }
    judge_all();
    if (::testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(refused, rounds / 4);
  EXPECT_GT(noticed, rounds / 2);
  EXPECT_GT(decoded, rounds);
}

}  // namespace millrace::stages::gpu
