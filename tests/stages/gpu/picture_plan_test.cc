#include "stages/gpu/picture_plan.h"

#include <gtest/gtest.h>

#include <vector>

#include "stages/gpu/batch_layout.h"
#include "tests/stages/regions.h"
#include "tests/support/tiny_images.h"

namespace millrace::stages::gpu {
namespace {

using storage::RecordView;
using test::MakeJpeg;
using test::Planes;

Geometry Whole(Size picture, Size finished) {
  Geometry geometry;
  geometry.crop = {0, 0, picture.width, picture.height};
  geometry.resized = finished;
  geometry.window = {0, 0, finished.width, finished.height};
  return geometry;
}

class PicturePlanTest : public ::testing::Test {
 protected:
  RecordView Record(Planes planes = Planes::k420) {
    return test::Pack(repacker_, MakeJpeg({.width = 200, .height = 100, .planes = planes}));
  }

  storage::JpegRepacker repacker_;
  std::vector<std::byte> room_ = std::vector<std::byte>(1 << 17);
  const Geometry geometry_ = Whole({200, 100}, {40, 30});
};

TEST_F(PicturePlanTest, TakesLessOfASmallerCrop) {
  const RecordView record = Record();
  const auto whole = PlanPicture(record, geometry_, room_);
  ASSERT_TRUE(whole);
  EXPECT_LT(whole->bytes, record.payload.size() + sizeof(PictureData) +
                              record.region_index.segment_bytes.size() * 12);
  Geometry corner = geometry_;
  corner.crop = {150, 60, 50, 40};
  const auto part = PlanPicture(record, corner, room_);
  ASSERT_TRUE(part);
  EXPECT_LT(part->bytes, whole->bytes);
  EXPECT_LT(part->picture.segments, whole->picture.segments);
  EXPECT_LT(MemoryOf(part->picture).bytes(), MemoryOf(whole->picture).bytes());
}

TEST_F(PicturePlanTest, WritesNothingBehindItsRoom) {
  const RecordView record = Record();
  const auto whole = PlanPicture(record, geometry_, room_);
  ASSERT_TRUE(whole);
  for (std::size_t bytes = 0; bytes < whole->bytes; bytes += 97) {
    // Of its own, so that a sanitizer sees its end.
    std::vector<std::byte> small(bytes);
    EXPECT_FALSE(PlanPicture(record, geometry_, small)) << bytes;
  }
}

TEST_F(PicturePlanTest, WhatTheDeviceDoesNotKnowIsLeftToTheCpu) {
  for (const Planes planes : {Planes::k411, Planes::k410, Planes::k441, Planes::kRgb}) {
    EXPECT_FALSE(PlanPicture(Record(planes), geometry_, room_));
  }
  const RecordView record = Record();
  RecordView without = record;
  without.region_index = {};
  EXPECT_FALSE(PlanPicture(without, geometry_, room_));
  Geometry smaller = geometry_;
  smaller.scale = 4;
  EXPECT_FALSE(PlanPicture(record, smaller, room_));
  EXPECT_TRUE(PlanPicture(record, Whole({200, 100}, {9, 9}), room_));
  EXPECT_FALSE(PlanPicture(record, Whole({200, 100}, {10, 8}), room_)) << "240 bytes";
}

TEST_F(PicturePlanTest, MarkerInASegmentIsFound) {
  RecordView record = Record();
  std::vector<std::byte> payload(record.payload.begin(), record.payload.end());
  record.payload = payload;
  ASSERT_TRUE(PlanPicture(record, geometry_, room_));
  std::size_t marked = 0;
  for (std::size_t i = payload.size() / 2; i + 40 < payload.size(); i += 11) {
    const auto kept = std::pair(payload[i], payload[i + 1]);
    if (kept.first == std::byte{0xFF} || kept.second == std::byte{0xFF} ||
        payload[i - 1] == std::byte{0xFF}) {
      continue;
    }
    payload[i] = std::byte{0xFF};
    payload[i + 1] = std::byte{0xD9};
    EXPECT_FALSE(PlanPicture(record, geometry_, room_)) << i;
    payload[i] = kept.first;
    payload[i + 1] = kept.second;
    ++marked;
  }
  EXPECT_GT(marked, 50u);
}

}  // namespace
}  // namespace millrace::stages::gpu
