// Any bytes as a stored JPEG: where the region decoder knows the pixels of a region, they are those
// of libjpeg-turbo. The first eight bytes choose the region; the index is that of the restart
// markers that are there.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "stages/decode.h"
#include "stages/region/frame.h"
#include "stages/region/region_decoder.h"
#include "storage/jpeg_marker_codes.h"

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
  if (!is_known) return;
  Require(image.width() == box.width && image.height() == box.height, "the size is the region's");
  Require(std::memcmp(image.row(0), other.row(0), bytes) == 0, "both kinds of kernels agree");
  const Outcome judged = judge.Decode(record, box, &other);
  Require(judged.ok(), judged.ok() ? "" : judged.fault().message.c_str());
  Require(std::memcmp(image.row(0), other.row(0), bytes) == 0, "the pixels are libjpeg-turbo's");
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
