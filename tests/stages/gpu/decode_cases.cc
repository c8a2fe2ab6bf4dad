#include "tests/stages/gpu/decode_cases.h"

#include <gtest/gtest.h>

#include "tests/stages/regions.h"

namespace millrace::stages::gpu {

using test::Below;

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

int AddCrops(std::span<const std::byte> jpeg, int count, std::uint64_t seed, Size finished,
             PictureBatch* batch) {
  storage::JpegRepacker repacker;
  const storage::RecordView record = test::Pack(repacker, jpeg);
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

}  // namespace millrace::stages::gpu
