#include "stages/slot.h"

#include <gtest/gtest.h>

#include <thread>
#include <utility>
#include <vector>

#include "base/random.h"

namespace millrace::stages {
namespace {

constexpr std::uint32_t kSamples = 40;
constexpr Size kPicture{7, 5};  // not a multiple of what places are
constexpr std::size_t kImageBytes = 105;

TEST(SlotCargo, ThereIsRoomForEveryFinishedPictureWhateverOthersClaimed) {
  Slot slot(0, kSamples, kImageBytes);
  RandomStream random({.seed = 1}, 0);
  int large = 0;
  int refused = 0;
  for (int round = 0; round < 100; ++round) {
    slot.Begin({.size = kSamples - static_cast<std::uint32_t>(round % 3)}, kPicture);
    std::size_t end = 0;
    for (std::uint32_t i = 0; i < slot.batch().size; ++i) {
      std::size_t bytes = 1 + random.Below(3 * kImageBytes);
      auto place = slot.ClaimCargo(bytes);
      if (!place) {
        ASSERT_GT(bytes, kImageBytes);
        ++refused;
        bytes = kImageBytes;
        place = slot.ClaimCargo(bytes);
        ASSERT_TRUE(place);
      } else if (bytes > kImageBytes) {
        ++large;
      }
      // Behind one another, and within the memory that there is.
      ASSERT_EQ(*place % 16, 0u);
      ASSERT_GE(*place, end);
      end = *place + bytes;
      ASSERT_LE(end, kSamples * ((kImageBytes + 15) / 16 * 16));
      slot.cargo_at(*place)[bytes - 1] = 1;
    }
    EXPECT_GE(slot.cargo().size(), end);
  }
  EXPECT_GT(large, 100);
  EXPECT_GT(refused, 100);
}

TEST(SlotCargo, BatchThatNobodyFillsAgainKeepsWhatIsThere) {
  Slot slot(0, kSamples, kImageBytes);
  EXPECT_TRUE(slot.cargo().empty());
  slot.Begin({.size = 2}, kPicture);
  slot.ClaimCargo(16);
  slot.ClaimCargo(32);
  EXPECT_EQ(slot.cargo().size(), 48u);
  slot.Begin({.size = 2}, kPicture);
  EXPECT_EQ(slot.cargo().size(), 48u);
  EXPECT_EQ(slot.ClaimCargo(16), 0u);
  EXPECT_EQ(slot.cargo().size(), 16u);
}

TEST(SlotCargo, PlacesOfThreadsAreApart) {
  Slot slot(0, kSamples, kImageBytes);
  for (int round = 0; round < 50; ++round) {
    slot.Begin({.size = kSamples}, kPicture);
    std::vector<std::thread> threads;
    for (std::uint8_t thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&slot, thread] {
        for (std::uint32_t i = 0; i < kSamples / 4; ++i) {
          const auto place = slot.ClaimCargo(kImageBytes);
          for (std::size_t at = 0; at < kImageBytes; ++at) {
            slot.cargo_at(*place)[at] = static_cast<std::uint8_t>(1 + thread);
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(slot.cargo().size(), kSamples * ((kImageBytes + 15) / 16 * 16));
    for (std::size_t place = 0; place < slot.cargo().size(); place += 112) {
      for (std::size_t at = 1; at < kImageBytes; ++at) {
        ASSERT_EQ(slot.cargo()[place + at], slot.cargo()[place]);
      }
    }
  }
}

// Samples 100, 101, ... with labels and pixels that follow from their positions.
void FillPositions(Slot* slot, std::uint64_t first, std::uint32_t size) {
  slot->Begin({.first_position = first, .size = size}, kPicture);
  for (std::uint32_t i = 0; i < size; ++i) {
    slot->sample(i).sample_id = 100 + first + i;
    slot->sample(i).digest = 7 * (first + i);
    slot->label(i) = static_cast<std::int64_t>(first + i) % 3;
  }
}

TEST(SlotDigest, SumOverPiecesIsTheSameHoweverABatchIsCut) {
  Slot slot(0, kSamples, kImageBytes);
  FillPositions(&slot, 80, 24);
  const std::uint64_t whole = slot.Digest();
  for (const std::uint32_t piece : {1u, 3u, 8u, 12u}) {
    std::uint64_t sum = 0;
    for (std::uint32_t at = 0; at < 24; at += piece) {
      FillPositions(&slot, 80 + at, piece);
      sum += slot.Digest();
    }
    EXPECT_EQ(sum, whole) << piece;
  }
}

TEST(SlotDigest, OrderIdsLabelsAndPixelsEnter) {
  Slot slot(0, kSamples, kImageBytes);
  const auto changed = [&](auto change) {
    FillPositions(&slot, 80, 4);
    change();
    return slot.Digest();
  };
  const std::uint64_t plain = changed([] {});
  EXPECT_EQ(changed([] {}), plain);
  EXPECT_NE(changed([&] { ++slot.sample(2).sample_id; }), plain);
  EXPECT_NE(changed([&] { ++slot.label(0); }), plain);
  EXPECT_NE(changed([&] { ++slot.sample(3).digest; }), plain);
  EXPECT_NE(changed([&] {
              std::swap(slot.sample(0), slot.sample(3));
              std::swap(slot.label(0), slot.label(3));
            }),
            plain);
}

}  // namespace
}  // namespace millrace::stages
