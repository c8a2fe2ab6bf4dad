#include "storage/repairs.h"

#include <cstddef>

namespace millrace::storage {

const char* RepairName(Repair repair) {
  switch (repair) {
    case kTruncated:
      return "truncated";
    case kCorrupt:
      return "corrupt";
    case kCmyk:
      return "cmyk";
    case kOtherFormat:
      return "other format";
    case kTrailingBytes:
      return "trailing bytes";
    case kExifOrientation:
      return "EXIF orientation";
    case kArithmetic:
      break;
  }
  return "arithmetic coding";
}

void CountRepairs(std::uint32_t repairs, RepairCounts* counts) {
  for (std::size_t i = 0; i < kRepairs.size(); ++i) {
    if ((repairs & kRepairs[i]) != 0) ++(*counts)[i];
  }
}

}  // namespace millrace::storage
