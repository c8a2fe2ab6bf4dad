// Any bytes as a stored JPEG: where the region decoder knows the pixels of a region, they are those
// of libjpeg-turbo, and the twin of the device's decoder knows them too.
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
#include "stages/region/region_decoder.h"
#include "tests/fuzz/region_input.h"
#include "tests/stages/gpu/twin.h"

namespace millrace::stages {
namespace {

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::abort();
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

void Compare(std::span<const std::byte> data) {
  const auto input = ReadRegionInput(data);
  if (!input) return;
  const storage::RecordView& record = input->record;
  const Box box = input->box;
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
  millrace::stages::Compare(std::as_bytes(std::span(data, size)));
  return 0;
}
