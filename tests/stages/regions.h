// Records of pictures, whole pictures, and regions that were decoded alone beside them.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/random.h"
#include "stages/geometry.h"
#include "stages/image.h"
#include "storage/jpeg_repack.h"
#include "tests/support/full_decode.h"

namespace millrace::test {

inline bool IsRegionOf(const stages::Image& full, stages::Box region, const stages::Image& part) {
  if (part.width() != region.width || part.height() != region.height) return false;
  for (int y = 0; y < region.height; ++y) {
    const auto* whole_row = full.row(region.y + y) + region.x * stages::kChannels;
    if (std::memcmp(part.row(y), whole_row, part.row_bytes()) != 0) return false;
  }
  return true;
}

// What the re-packer makes of a picture, as it would be stored; views into the re-packer.
inline storage::RecordView Pack(storage::JpegRepacker& repacker, std::span<const std::byte> jpeg) {
  const auto packed = repacker.Repack(jpeg, storage::OnDamage::kFault);
  EXPECT_TRUE(packed.ok()) << packed.fault().message;
  return {.width = packed->info.width,
          .height = packed->info.height,
          .subsampling = packed->info.subsampling,
          .payload = packed->payload,
          .region_index = packed->region_index};
}

inline int Below(RandomStream& random, int bound) {
  return static_cast<int>(random.Below(static_cast<std::uint32_t>(bound)));
}

// Flips bits or replaces bytes, a few of them; now and then the index is wrong or the end missing.
struct DamagedRecord {
  std::vector<std::byte> payload;
  std::vector<std::uint16_t> segments;
  storage::RecordView record;
};

inline DamagedRecord Damage(const storage::RecordView& good, unsigned round, RandomStream& random) {
  DamagedRecord damaged{
      .payload = {good.payload.begin(), good.payload.end()},
      .segments = {good.region_index.segment_bytes.begin(), good.region_index.segment_bytes.end()},
      .record = good};
  auto& [payload, segments, record] = damaged;
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
  return damaged;
}

// A box that touches edges of the picture as bits 0..3 of `edges` say: left, top, right, bottom.
inline stages::Box RandomBox(stages::Size size, unsigned edges, RandomStream& random) {
  stages::Box box{0, 0, 1 + Below(random, size.width), 1 + Below(random, size.height)};
  const bool is_left = (edges & 1) != 0;
  const bool is_top = (edges & 2) != 0;
  if ((edges & 4) != 0 && is_left) box.width = size.width;
  if ((edges & 8) != 0 && is_top) box.height = size.height;
  if (!is_left) {
    const int most = size.width - box.width;
    box.x = (edges & 4) != 0 ? most : Below(random, most + 1);
  }
  if (!is_top) {
    const int most = size.height - box.height;
    box.y = (edges & 8) != 0 ? most : Below(random, most + 1);
  }
  return box;
}

// What libjpeg-turbo alone makes of a JPEG at `scale` eighths of its size.
inline stages::Image DecodeWhole(std::span<const std::byte> jpeg, int scale) {
  const FullDecode judge = DecodeFully(jpeg, 1 << 24, static_cast<unsigned>(scale));
  EXPECT_TRUE(judge.has_picture && !judge.complains);
  const auto channels = static_cast<std::size_t>(judge.channels);
  stages::Image image;
  image.Resize(judge.width, judge.height);
  for (std::size_t i = 0; i < judge.pixels.size() / channels; ++i) {
    for (std::size_t channel = 0; channel < stages::kChannels; ++channel) {
      image.row(0)[i * stages::kChannels + channel] =
          judge.pixels[i * channels + (channels == 1 ? 0 : channel)];
    }
  }
  return image;
}

}  // namespace millrace::test
