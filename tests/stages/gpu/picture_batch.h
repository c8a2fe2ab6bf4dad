// Pictures that a decoder on the device, or its twin, is given, and what the CPU makes of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "stages/decode.h"
#include "stages/geometry.h"
#include "stages/gpu/picture_plan.h"
#include "stages/resize.h"
#include "storage/record_view.h"

namespace millrace::stages::gpu {

// What a decoder makes of a batch.
struct DecodedBatch {
  std::vector<std::uint8_t> pixels;  // as many pictures as were given
  std::vector<PictureResult> results;
};

// All pictures of a batch have the same size when they are finished.
class PictureBatch {
 public:
  explicit PictureBatch(Size finished) : finished_(finished) {}

  std::uint32_t image_bytes() const {
    return static_cast<std::uint32_t>(finished_.width * finished_.height * kChannels);
  }

  // Adds the picture of a record, of which `full` is the whole; false where it is not for the
  // device. `geometry`'s window has the finished size.
  bool Add(const storage::RecordView& record, const Geometry& geometry, const Image& full);

  // Adds a picture that was finished on the host.
  void AddFinished(std::uint64_t seed);

  std::size_t size() const { return pictures_.size(); }
  std::span<const Picture> pictures() const { return pictures_; }
  std::span<const std::byte> bytes() const { return bytes_; }

  Size finished() const { return finished_; }

  // What differs from what the CPU makes; empty when nothing does.
  std::string Difference(const DecodedBatch& decoded) const;

 private:
  // As aligned as the bytes of a picture have to be: that of what operator new gives.
  static_assert(kBytesAlignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);

  void Append(Picture picture, std::span<const std::byte> bytes);

  Size finished_;
  Resizer resizer_;
  Image part_;
  std::vector<std::byte> room_;
  std::vector<Picture> pictures_;
  std::vector<std::byte> bytes_;
  std::vector<std::uint8_t> expected_;
};

// The part of a picture.
void CutOut(const Image& full, Box box, Image* part);

}  // namespace millrace::stages::gpu
