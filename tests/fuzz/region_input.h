// Any bytes as a region of a stored JPEG: the first eight choose the region, the others are the
// picture, and the index is that of the restart markers that are there.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "stages/geometry.h"
#include "stages/region/frame.h"
#include "storage/jpeg_marker_codes.h"
#include "storage/record_view.h"

namespace millrace::stages {

// The bytes between the markers of a scan. A zero behind 0xFF is no marker.
inline std::vector<std::uint16_t> SegmentBytes(std::span<const std::byte> scan) {
  std::vector<std::uint16_t> segments;
  std::size_t begin = 0;
  for (std::size_t at = 0; at + 1 < scan.size(); ++at) {
    if (scan[at] != std::byte{0xFF} || scan[at + 1] == std::byte{0}) continue;
    segments.push_back(static_cast<std::uint16_t>(std::min<std::size_t>(at - begin, 0xFFFF)));
    const bool is_end = scan[at + 1] == static_cast<std::byte>(storage::kEoi);
    begin = ++at + 1;
    if (is_end) break;
  }
  return segments;
}

// Its record views the bytes and the index. Can be moved, not copied.
struct RegionInput {
  std::vector<std::uint16_t> segments;
  storage::RecordView record;
  Box box;

  RegionInput() = default;
  RegionInput(RegionInput&&) = default;
  RegionInput& operator=(RegionInput&&) = default;
};

// Nothing where the header is not one that the region decoder knows, or the picture is large.
inline std::optional<RegionInput> ReadRegionInput(std::span<const std::byte> bytes) {
  constexpr std::size_t kChoiceBytes = 8;
  constexpr int kMostInputPixels = 1 << 20;
  if (bytes.size() < kChoiceBytes) return {};
  const auto payload = bytes.subspan(kChoiceBytes);
  const auto frame = region::ReadFrame(payload);
  if (!frame || frame->picture.width > kMostInputPixels / frame->picture.height) return {};
  const auto chosen = [&](std::size_t i, int below) {
    std::uint16_t number;
    std::memcpy(&number, bytes.data() + 2 * i, sizeof number);
    return static_cast<int>(number) % below;
  };
  RegionInput input;
  input.segments = SegmentBytes(payload.subspan(frame->scan));
  input.record = {
      .width = static_cast<std::uint32_t>(frame->picture.width),
      .height = static_cast<std::uint32_t>(frame->picture.height),
      .payload = payload,
      .region_index = {.segment_mcus = frame->restart_interval, .segment_bytes = input.segments}};
  input.box = {.x = chosen(0, frame->picture.width), .y = chosen(1, frame->picture.height)};
  input.box.width = 1 + chosen(2, frame->picture.width - input.box.x);
  input.box.height = 1 + chosen(3, frame->picture.height - input.box.y);
  return input;
}

}  // namespace millrace::stages
