#include "tests/stages/gpu/picture_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/hash.h"
#include "base/random.h"

namespace millrace::stages::gpu {

void CutOut(const Image& full, Box box, Image* part) {
  part->Resize(box.width, box.height);
  for (int y = 0; y < box.height; ++y) {
    std::memcpy(part->row(y), full.row(box.y + y) + box.x * kChannels, part->row_bytes());
  }
}

bool PictureBatch::Add(const storage::RecordView& record, const Geometry& geometry,
                       const Image& full) {
  // Enough for any picture of the tests.
  room_.resize(record.payload.size() + (std::size_t{1} << 20));
  const auto plan = PlanPicture(record, geometry, room_);
  if (!plan) return false;
  Append(plan->picture, std::span(room_).first(plan->bytes));
  CutOut(full, SourceOf(geometry), &part_);
  expected_.resize(expected_.size() + image_bytes());
  resizer_.Resize(geometry, part_, expected_.data() + expected_.size() - image_bytes(),
                  static_cast<std::size_t>(finished_.width) * kChannels);
  return true;
}

void PictureBatch::AddFinished(std::uint64_t seed) {
  RandomStream random({.seed = seed}, 0);
  std::vector<std::uint8_t> pixels(image_bytes());
  std::generate(pixels.begin(), pixels.end(),
                [&] { return static_cast<std::uint8_t>(random.Below(256)); });
  Append(FinishedPicture(), std::as_bytes(std::span(pixels)));
  expected_.insert(expected_.end(), pixels.begin(), pixels.end());
}

void PictureBatch::Append(Picture picture, std::span<const std::byte> bytes) {
  bytes_.resize((bytes_.size() + kBytesAlignment - 1) / kBytesAlignment * kBytesAlignment);
  picture.bytes = bytes_.size();
  picture.output = static_cast<u32>(pictures_.size());
  pictures_.push_back(picture);
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

std::string PictureBatch::Difference(const DecodedBatch& decoded) const {
  const std::span<const std::uint8_t> pixels = decoded.pixels;
  const std::span<const PictureResult> results = decoded.results;
  for (std::size_t i = 0; i < pictures_.size(); ++i) {
    if (results[i].is_damaged != 0) return fmt::format("picture {} is damaged", i);
    const auto found = pixels.subspan(i * image_bytes(), image_bytes());
    const auto expected = std::span(expected_).subspan(i * image_bytes(), image_bytes());
    const auto [at, of] = std::mismatch(found.begin(), found.end(), expected.begin());
    if (at != found.end()) {
      const auto pixel = static_cast<int>((at - found.begin()) / kChannels);
      return fmt::format("picture {}, pixel {},{}: {} where {} is right", i,
                         pixel % finished_.width, pixel / finished_.width, *at, *of);
    }
    if (pictures_[i].kind == Kind::kSegments &&
        results[i].digest != Hash64(std::as_bytes(expected))) {
      return fmt::format("picture {} has another digest", i);
    }
  }
  return {};
}

}  // namespace millrace::stages::gpu
