// Any bytes as a stored JPEG: where the region decoder knows the pixels of a region, they are those
// of libjpeg-turbo, and the twin of the device's decoder knows them too. The first eight bytes
// choose the region; the index is that of the restart markers that are there.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "stages/decode.h"
#include "stages/gpu/picture_plan.h"
#include "stages/region/frame.h"
#include "stages/region/region_decoder.h"
#include "storage/jpeg_marker_codes.h"
#include "tests/stages/gpu/twin.h"

namespace millrace::stages {
namespace {

constexpr int kMostPixels = 1 << 20;

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::abort();
}

// The bytes between the markers of a scan. A zero behind 0xFF is no marker.
std::vector<std::uint16_t> SegmentBytes(std::span<const std::byte> scan) {
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

// What the device makes of the region, or nothing.
std::vector<std::uint8_t> DecodeByDevice(const storage::RecordView& record, Box box,
                                         bool is_known) {
  constexpr std::size_t kLeastBytes = 241;
  const std::size_t image_bytes =
      static_cast<std::size_t>(box.width) * static_cast<std::size_t>(box.height) * kChannels;
  if (image_bytes < kLeastBytes) return {};
  Geometry geometry;
  geometry.crop = box;
  geometry.resized = {box.width, box.height};
  geometry.window = {0, 0, box.width, box.height};
  std::vector<std::byte> room(record.payload.size() +
                              record.region_index.segment_bytes.size() * 12 + 4096);
  const auto plan = gpu::PlanPicture(record, geometry, room);
  Require(!is_known || plan, "the device is told of what the region decoder knows");
  if (!plan) return {};
  room.resize(plan->bytes);
  gpu::DecodedBatch batch =
      gpu::DecodeByTwin({&plan->picture, 1}, room, static_cast<std::uint32_t>(image_bytes));
  if (batch.results[0].is_damaged == 0) return std::move(batch.pixels);
  Require(!is_known, "the device knows what the region decoder knows");
  return {};
}

void Compare(std::span<const std::byte> choice, std::span<const std::byte> payload) {
  const auto frame = region::ReadFrame(payload);
  if (!frame || frame->picture.width > kMostPixels / frame->picture.height) return;
  const std::vector<std::uint16_t> segments = SegmentBytes(payload.subspan(frame->scan));
  const storage::RecordView record{
      .width = static_cast<std::uint32_t>(frame->picture.width),
      .height = static_cast<std::uint32_t>(frame->picture.height),
      .payload = payload,
      .region_index = {.segment_mcus = frame->restart_interval, .segment_bytes = segments}};
  const auto chosen = [&](std::size_t i, int below) {
    std::uint16_t number;
    std::memcpy(&number, choice.data() + 2 * i, sizeof number);
    return static_cast<int>(number) % below;
  };
  Box box{.x = chosen(0, frame->picture.width), .y = chosen(1, frame->picture.height)};
  box.width = 1 + chosen(2, frame->picture.width - box.x);
  box.height = 1 + chosen(3, frame->picture.height - box.y);

  static region::RegionDecoder decoder;
  static region::RegionDecoder scalar(Kernels::kScalar);
  static Decoder judge(DecodeEngine::kLibjpegTurbo);
  static Image image;
  static Image other;
  const bool is_known = decoder.Decode(record, box, &image);
  const std::size_t bytes = image.row_bytes() * static_cast<std::size_t>(image.height());
  // Vectors look at a few blocks more, which may be damaged.
  const bool is_known_to_scalar = scalar.Decode(record, box, &other);
  Require(!is_known || is_known_to_scalar, "both kinds of kernels know the same");
  const std::vector<std::uint8_t> of_device = DecodeByDevice(record, box, is_known_to_scalar);
  if (is_known) {
    Require(image.width() == box.width && image.height() == box.height, "the size is the region's");
    Require(std::memcmp(image.row(0), other.row(0), bytes) == 0, "both kinds of kernels agree");
  }
  if (!is_known && of_device.empty()) return;
  const Outcome judged = judge.Decode(record, box, &other);
  Require(judged.ok(), judged.ok() ? "" : judged.fault().message.c_str());
  Require(!is_known || std::memcmp(image.row(0), other.row(0), bytes) == 0,
          "the pixels are libjpeg-turbo's");
  Require(of_device.empty() || std::memcmp(of_device.data(), other.row(0), of_device.size()) == 0,
          "the device's pixels are libjpeg-turbo's");
}

}  // namespace
}  // namespace millrace::stages

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kChoiceBytes = 8;
  if (size < kChoiceBytes) return 0;
  const auto bytes = std::as_bytes(std::span(data, size));
  millrace::stages::Compare(bytes.first(kChoiceBytes), bytes.subspan(kChoiceBytes));
  return 0;
}
