// Which restart segments of a stored JPEG a region of its picture needs, and where their bytes are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "stages/geometry.h"
#include "stages/region/color.h"
#include "stages/region/frame.h"
#include "storage/record_view.h"

namespace millrace::stages::region {

// From `begin` to `end`.
struct Range {
  int begin = 0;
  int end = 0;

  int size() const { return end - begin; }
};

// The segments that cover a region and the pixels around it that its own depend on.
struct SegmentChoice {
  Frame frame;
  Sampling sampling = Sampling::k444;
  int segment_mcus = 0;    // in a segment
  int segment_blocks = 0;  // of all planes
  int all_columns = 0;     // of segments in the picture
  Range columns;           // of segments, those that are needed
  Range mcu_rows;
  std::size_t first_byte = 0;  // where the first row of segments begins in the payload
};

// Nothing where the record has no region index, or another one than its picture, and where
// ReadFrame() does not know the picture. REQUIRES: region not empty and inside the picture
std::optional<SegmentChoice> ChooseSegments(const storage::RecordView& record, Box region);

// The blocks of a plane that the region needs, in the picture's plane. REQUIRES: `plane` is one of
// choice.frame
struct BlockRanges {
  Range x;
  Range y;
};
BlockRanges NeededBlocks(const SegmentChoice& choice, const PlaneFrame& plane, Box region);

// Where the bytes of a segment are in the payload, stuffed ones included.
struct StoredSegment {
  std::size_t begin = 0;
  std::size_t bytes = 0;
};

// Goes through the chosen segments row by row. The record and the choice must stay.
class SegmentCursor {
 public:
  SegmentCursor() = default;
  SegmentCursor(const storage::RecordView& record, const SegmentChoice& choice);

  // The next one. Nothing where the payload ends before its row of segments does, and where it is
  // not followed by the marker that belongs there. REQUIRES: one is left
  std::optional<StoredSegment> Next();

 private:
  std::span<const std::byte> payload_;
  std::span<const std::uint16_t> index_;
  std::size_t row_segments_ = 0;  // in a row of the picture
  std::size_t skipped_ = 0;       // of them, before the first that is needed
  std::size_t needed_ = 0;        // of them
  std::size_t number_ = 0;        // of the next one, in the picture
  std::size_t left_in_row_ = 0;
  std::size_t next_ = 0;      // where it begins [bytes]
  std::size_t next_row_ = 0;  // where the row after it begins [bytes]
  std::size_t row_ = 0;       // of segments, the one that begins there
};

}  // namespace millrace::stages::region
