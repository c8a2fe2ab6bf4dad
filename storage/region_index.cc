#include "storage/region_index.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "storage/jpeg_marker_codes.h"

namespace millrace::storage {
namespace {

class Reader {
 public:
  explicit Reader(std::span<const std::byte> jpeg) : jpeg_(jpeg) {}

  // The second byte of the marker that stands here, and goes behind it; 0 when there is none.
  unsigned Marker() {
    if (left() < 2 || jpeg_[at_] != std::byte{0xFF}) return 0;
    at_ += 2;
    return std::to_integer<unsigned>(jpeg_[at_ - 1]);
  }

  // A number of two bytes, `offset` bytes from here; 0 where the picture ends before.
  unsigned Number(std::size_t offset) const {
    if (left() < offset + 2) return 0;
    return std::to_integer<unsigned>(jpeg_[at_ + offset]) << 8 |
           std::to_integer<unsigned>(jpeg_[at_ + offset + 1]);
  }

  // False when the picture ends before.
  bool Skip(std::size_t bytes) {
    if (left() < bytes) return false;
    at_ += bytes;
    return true;
  }

  std::size_t left() const { return jpeg_.size() - at_; }

 private:
  std::span<const std::byte> jpeg_;
  std::size_t at_ = 0;
};

// Goes to the data of the first scan. The restart interval that is announced before it [MCUs], or
// nothing when there is no scan.
std::optional<unsigned> FindScan(Reader* reader) {
  if (reader->Marker() != kSoi) return {};
  unsigned interval = 0;
  while (true) {
    const unsigned marker = reader->Marker();
    const unsigned length = reader->Number(0);
    if (marker == kDri) interval = reader->Number(2);
    // Nothing else without a length stands here, so that each turn goes on by 2 bytes at least.
    if (marker == 0 || length < 2 || !reader->Skip(length)) return {};
    if (marker == kSos) return interval;
  }
}

bool Fits(const RecordView& record) {
  const auto& [segment_mcus, segments] = record.region_index;
  Reader reader(record.payload);
  const std::optional<unsigned> interval = FindScan(&reader);
  if (!interval || *interval != segment_mcus || segments.empty()) return false;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool is_last = i + 1 == segments.size();
    const unsigned expected = is_last ? kEoi : kRst0 + static_cast<unsigned>(i % 8);
    if (!reader.Skip(segments[i]) || reader.Marker() != expected) return false;
  }
  return reader.left() == 0;
}

}  // namespace

Outcome CheckRegionIndex(const RecordView& record) {
  if (record.region_index.segment_mcus == 0 || Fits(record)) return Ok();
  return Fault{"its region index is not the one of its picture"};
}

}  // namespace millrace::storage
