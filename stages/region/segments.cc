#include "stages/region/segments.h"

#include <algorithm>
#include <numeric>

#include "storage/jpeg_marker_codes.h"

namespace millrace::stages::region {
namespace {

// Pixels on every side of a region that its own pixels depend on: the next sample of chroma.
constexpr int kContext = 2;

int Divide(int a, int b) { return (a + b - 1) / b; }

// Those of `each` pixels that the pixels from `first` on meet, with their context.
Range Cover(int first, int pixels, int all, int each) {
  return {std::max(0, first - kContext) / each,
          Divide(std::min(all, first + pixels + kContext), each)};
}

Sampling SamplingOf(const Frame& frame) {
  const PlaneFrame& luma = frame.planes[0];
  if (frame.num_planes == 1 || (luma.h == 1 && luma.v == 1)) return Sampling::k444;
  if (luma.v == 1) return Sampling::k422;
  return luma.h == 1 ? Sampling::k440 : Sampling::k420;
}

}  // namespace

std::optional<SegmentChoice> ChooseSegments(const storage::RecordView& record, Box region) {
  const auto segments = record.region_index.segment_bytes;
  if (static_cast<int>(record.region_index.segment_mcus) <= 0) return {};
  const std::optional<Frame> frame = ReadFrame(record.payload);
  if (!frame || frame->restart_interval != record.region_index.segment_mcus ||
      frame->picture.width != static_cast<int>(record.width) ||
      frame->picture.height != static_cast<int>(record.height)) {
    return {};
  }
  SegmentChoice choice{.frame = *frame,
                       .sampling = SamplingOf(*frame),
                       .segment_mcus = static_cast<int>(record.region_index.segment_mcus),
                       .columns = {},
                       .mcu_rows = {}};
  const auto [picture, mcu] = std::pair(frame->picture, frame->mcu);
  const int row_mcus = Divide(picture.width, mcu.width);
  const int all_rows = Divide(picture.height, mcu.height);
  choice.all_columns = row_mcus / choice.segment_mcus;
  if (row_mcus % choice.segment_mcus != 0 ||
      segments.size() !=
          static_cast<std::size_t>(choice.all_columns) * static_cast<std::size_t>(all_rows)) {
    return {};
  }
  choice.columns = Cover(region.x, region.width, picture.width, choice.segment_mcus * mcu.width);
  choice.mcu_rows = Cover(region.y, region.height, picture.height, mcu.height);
  for (int i = 0; i < frame->num_planes; ++i) {
    const PlaneFrame& plane = frame->planes[static_cast<std::size_t>(i)];
    choice.segment_blocks += choice.segment_mcus * plane.h * plane.v;
  }
  const auto before = segments.first(static_cast<std::size_t>(choice.mcu_rows.begin) *
                                     static_cast<std::size_t>(choice.all_columns));
  choice.first_byte =
      std::accumulate(before.begin(), before.end(), frame->scan + 2 * before.size());
  return choice;
}

BlockRanges NeededBlocks(const SegmentChoice& choice, const PlaneFrame& plane, Box region) {
  const auto [picture, mcu] = std::pair(choice.frame.picture, choice.frame.mcu);
  // A block is as wide and high as so many pixels.
  return {.x = Cover(region.x, region.width, picture.width, mcu.width / plane.h),
          .y = Cover(region.y, region.height, picture.height, mcu.height / plane.v)};
}

SegmentCursor::SegmentCursor(const storage::RecordView& record, const SegmentChoice& choice)
    : payload_(record.payload),
      index_(record.region_index.segment_bytes),
      row_segments_(static_cast<std::size_t>(choice.all_columns)),
      skipped_(static_cast<std::size_t>(choice.columns.begin)),
      needed_(static_cast<std::size_t>(choice.columns.size())),
      next_row_(choice.first_byte),
      row_(static_cast<std::size_t>(choice.mcu_rows.begin)) {}

std::optional<StoredSegment> SegmentCursor::Next() {
  const auto bytes_of = [](std::span<const std::uint16_t> run) {
    return std::accumulate(run.begin(), run.end(), 2 * run.size());
  };
  if (left_in_row_ == 0) {
    const auto row = index_.subspan(row_++ * row_segments_, row_segments_);
    next_ = next_row_ + bytes_of(row.first(skipped_));
    next_row_ += bytes_of(row);
    if (next_row_ > payload_.size()) return {};
    number_ = (row_ - 1) * row_segments_ + skipped_;
    left_in_row_ = needed_;
  }
  --left_in_row_;
  const StoredSegment segment{.begin = next_, .bytes = index_[number_]};
  const std::size_t end = segment.begin + segment.bytes;
  next_ = end + 2;
  ++number_;
  const std::size_t marker =
      number_ == index_.size() ? std::size_t{storage::kEoi} : storage::kRst0 + (number_ - 1) % 8;
  if (payload_[end] != std::byte{0xFF} || payload_[end + 1] != static_cast<std::byte>(marker)) {
    return {};
  }
  return segment;
}

}  // namespace millrace::stages::region
