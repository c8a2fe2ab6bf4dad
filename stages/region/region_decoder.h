// Decodes a region of a stored JPEG straight from its restart segments: several of them at a time,
// and only those that the region needs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "stages/geometry.h"
#include "stages/image.h"
#include "stages/kernels.h"
#include "stages/region/code_table.h"
#include "stages/region/coefficients.h"
#include "stages/region/color.h"
#include "stages/region/entropy.h"
#include "stages/region/frame.h"
#include "stages/region/segments.h"
#include "stages/row_sink.h"
#include "storage/record_view.h"

namespace millrace::stages::region {

// Exact or not at all: the pixels are those of a full decode by libjpeg-turbo at its defaults, bit
// for bit, or Decode() says that it does not know them. Its memory is kept from picture to picture:
// a band of a region's coefficients, and of its samples, that fit a core's second-level cache. One
// thread.
class RegionDecoder {
 public:
  explicit RegionDecoder(Kernels kernels = Kernels::kSimd) : kernels_(kernels) {}

  // Decodes `region` of the record's picture into `rows`, which knows its size. False, after some
  // of the rows, for records without a region index, pictures that ReadFrame() does not know, and
  // segments that are damaged in any way. REQUIRES: region not empty and inside the picture
  bool Decode(const storage::RecordView& record, Box region, RowSink* rows);

  // The same into `out`, which gets the region's size, and undefined pixels where it is false.
  bool Decode(const storage::RecordView& record, Box region, Image* out);

 private:
  // A plane of the region: its coefficients in a band, its samples in a ring of rows.
  struct Plane {
    int h = 1;
    int v = 1;
    const std::array<std::uint16_t, storage::kBlockSize>* quantizers = nullptr;
    std::uint32_t dc = 0;  // first entries of its tables
    std::uint32_t ac = 0;
    Size all;         // of the picture's plane [samples]
    int first_x = 0;  // of the samples that are kept, in the picture's plane
    int first_y = 0;
    Range blocks;                  // along x, of those kept: what the region needs
    int row_groups = 0;            // of blocks, kept in a row
    int first_in_group = 0;        // the place of its first block there: the first needed has 0
    std::size_t coefficients = 0;  // where they begin
    std::size_t row_samples = 0;   // from row to row
    int ring_rows = 0;             // of blocks whole ones
    std::vector<std::uint8_t> samples;

    // Where the coefficients of block (x, y) of a band begin.
    std::size_t PlaceOf(int x, int y) const {
      const int block = x + first_in_group;
      return coefficients + PlaceOfBlock(y * row_groups * kGroupBlocks + block);
    }
    std::uint8_t* row(int y) {
      return samples.data() + static_cast<std::size_t>((y - first_y) % ring_rows) * row_samples +
             kRowMargin;
    }
  };

  bool Plan(const storage::RecordView& record, Box region);
  bool MakeTables();
  void PlanPlane(Plane* plane, const PlaneFrame& frame, Box region);
  void PlanSteps();
  bool TakeBand(const storage::RecordView& record, Range rows);
  bool AddDcSteps(int band_rows);
  bool MakeSamples(Range rows);
  void ConvertRows(Box region, Range rows, std::uint8_t* out);
  const std::uint8_t* ChromaOf(Plane& plane, Box region, int y, std::vector<std::uint8_t>* row);

  // Two of each block, and the end.
  std::size_t SegmentSteps() const {
    return 2 * static_cast<std::size_t>(choice_.segment_blocks) + 1;
  }
  int num_planes() const { return choice_.frame.num_planes; }
  Plane& plane(int i) { return planes_[static_cast<std::size_t>(i)]; }

  const Kernels kernels_;
  SegmentChoice choice_;
  SegmentCursor cursor_;  // at the first segment of the next band
  CodeTables tables_;
  std::array<Plane, 3> planes_;
  int band_rows_ = 0;                       // MCU rows in a band
  std::vector<std::int16_t> coefficients_;  // zeros between bands
  std::vector<BlockStep> steps_;            // of the segments of a band, in their order
  std::vector<Segment> segments_;
  SegmentBytes bytes_;
  std::vector<std::uint8_t> blue_;
  std::vector<std::uint8_t> red_;
};

}  // namespace millrace::stages::region
