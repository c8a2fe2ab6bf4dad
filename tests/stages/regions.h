// A region that was decoded alone, beside the whole picture.
#pragma once

#include <cstring>

#include "stages/geometry.h"
#include "stages/image.h"

namespace millrace::test {

inline bool IsRegionOf(const stages::Image& full, stages::Box region, const stages::Image& part) {
  if (part.width() != region.width || part.height() != region.height) return false;
  for (int y = 0; y < region.height; ++y) {
    const auto* whole_row = full.row(region.y + y) + region.x * stages::kChannels;
    if (std::memcmp(part.row(y), whole_row, part.row_bytes()) != 0) return false;
  }
  return true;
}

}  // namespace millrace::test
