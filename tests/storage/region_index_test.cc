#include "storage/region_index.h"

#include <gtest/gtest.h>

#include <span>
#include <utility>
#include <vector>

#include "storage/jpeg_repack.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

class RegionIndexTest : public testing::Test {
 protected:
  void Pack(const test::JpegSpec& spec) {
    JpegRepacker repacker;
    const auto packed = repacker.Repack(test::MakeJpeg(spec), OnDamage::kFault);
    ASSERT_TRUE(packed);
    payload_.assign(packed->payload.begin(), packed->payload.end());
    mcus_ = packed->region_index.segment_mcus;
    const auto segments = packed->region_index.segment_bytes;
    segments_.assign(segments.begin(), segments.end());
    ASSERT_GT(mcus_, 0u);
  }

  bool Fits() const { return Check(payload_, mcus_, segments_).ok(); }

  static Outcome Check(std::span<const std::byte> payload, std::uint32_t mcus,
                       std::span<const std::uint16_t> segments) {
    RecordView record;
    record.payload = payload;
    record.region_index = {.segment_mcus = mcus, .segment_bytes = segments};
    return CheckRegionIndex(record);
  }

  std::vector<std::byte> payload_;
  std::uint32_t mcus_ = 0;
  std::vector<std::uint16_t> segments_;
};

TEST_F(RegionIndexTest, WhatTheRepackerMakesFits) {
  using test::Planes;
  for (const Planes planes : {Planes::kGray, Planes::k420, Planes::k444, Planes::kRgb}) {
    for (const auto& [width, height] : {std::pair(1, 1), std::pair(300, 200), std::pair(64, 700)}) {
      Pack({.width = width, .height = height, .planes = planes});
      EXPECT_TRUE(Fits()) << width << " x " << height;
    }
  }
}

TEST_F(RegionIndexTest, RecordWithoutIndexIsInOrder) {
  EXPECT_TRUE(CheckRegionIndex({}).ok());
  const auto png = test::MakePng(10, 10, 1);
  EXPECT_TRUE(Check(png, 0, {}).ok());
}

TEST_F(RegionIndexTest, AnyOtherIndexIsAFault) {
  Pack({.width = 300, .height = 200});
  ASSERT_GT(segments_.size(), 10u);
  const auto good = segments_;
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const int change : {-1, 1, 256}) {
      segments_ = good;
      segments_[i] = static_cast<std::uint16_t>(segments_[i] + change);
      EXPECT_FALSE(Fits()) << i;
    }
  }
  // A shift from one to the next keeps the sum.
  segments_ = good;
  ++segments_[3];
  --segments_[4];
  EXPECT_FALSE(Fits());
  segments_ = good;
  segments_.pop_back();
  EXPECT_FALSE(Fits());
  segments_ = good;
  segments_.push_back(0);
  EXPECT_FALSE(Fits());
  segments_.clear();
  EXPECT_FALSE(Fits());
  segments_ = good;
  ++mcus_;
  EXPECT_FALSE(Fits());
}

TEST_F(RegionIndexTest, IndexOfWhatHasNoRestartMarkersIsAFault) {
  Pack({});
  payload_ = test::MakeJpeg();
  EXPECT_FALSE(Fits());
  payload_ = test::MakePng(10, 10, 1);
  EXPECT_FALSE(Fits());
  payload_.clear();
  EXPECT_FALSE(Fits());
}

TEST_F(RegionIndexTest, PictureCutAnywhereIsAFaultAndNothingBeyondIsRead) {
  Pack({.width = 100, .height = 40});
  const auto whole = payload_;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    payload_ =
        std::vector<std::byte>(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(Fits()) << size;
  }
  payload_ = whole;
  payload_.push_back({});
  EXPECT_FALSE(Fits());
}

TEST_F(RegionIndexTest, FaultSaysWhatIsWrong) {
  const auto outcome = Check({}, 1, {});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.fault().message, "its region index is not the one of its picture");
}

}  // namespace
}  // namespace millrace::storage
