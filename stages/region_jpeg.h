// A small JPEG that shows a region of a stored picture, put together from those restart segments of
// it that the region needs: what lies outside is never decoded.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "stages/geometry.h"
#include "storage/record_view.h"

namespace millrace::stages {

// Pixels on every side of a region that its own pixels depend on: fancy upsampling looks one chroma
// sample to each side, which is two pixels. libjpeg-turbo treats the edge of a partial decode as
// the edge of the picture, so that without them the outermost pixels come out different.
inline constexpr int kContext = 2;

// Makes one small JPEG after the other in the same memory. One thread.
class RegionJpeg {
 public:
  // Puts together the segments that cover `region`, which must be inside of the picture as it is
  // decoded at `scale` (stages/decode_scale.h), and kContext pixels on every side of it. False
  // where there is no small JPEG to be made: the record has no region index, its payload is not as
  // the index says (a decode of it tells more), or all segments are needed.
  bool Assemble(const storage::RecordView& record, Box region, int scale = kFullScale);

  // The small JPEG, valid until the next Assemble(); its size, and where the region is in it when
  // it is decoded at the same scale.
  std::span<const std::byte> jpeg() const { return {bytes_.data(), size_}; }
  Size picture() const { return picture_; }
  Box region() const { return region_; }

 private:
  std::vector<std::byte> bytes_;  // the first size_ of them
  std::size_t size_ = 0;
  Size picture_;
  Box region_;
};

}  // namespace millrace::stages
