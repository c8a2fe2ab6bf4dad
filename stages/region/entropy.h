// Entropy decoding of restart segments, several at a time: what bounds the speed of one segment is
// the way from each code to the bits of the next, so that the steps of others fit in between.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "stages/region/code_table.h"

namespace millrace::stages::region {

// The DC coefficient of a block, or its others: how they are coded and where the block is. Small,
// so that the next one's place is computed in one step.
struct BlockStep {
  std::uint32_t place = 0;  // of the block's first coefficient
  std::uint32_t table = 0;  // CodeTables::FirstOf() its table

  // Behind the last block of a segment.
  static BlockStep End() { return {.place = 0, .table = CodeTables::FirstOf(CodeTables::kNone)}; }
};

// A segment whose bytes were taken.
struct Segment {
  std::int64_t top = 0;  // where its first byte is
  std::int64_t bytes = 0;
  const BlockStep* steps = nullptr;  // ended by BlockStep::End()
};

// The bytes of segments without what was stuffed into them, backwards, so that the next bits are
// loaded as one number without turning its bytes. Its memory is kept.
class SegmentBytes {
 public:
  // Makes room for segments of so many bytes together, none of more than `most_blocks` blocks.
  void Begin(std::size_t bytes, std::size_t most_blocks);

  // Takes a segment of `bytes` that begins at `from`. False when there is a marker in it.
  // REQUIRES: Begin() made room
  bool Take(std::span<const std::byte> payload, std::size_t from, std::size_t bytes,
            Segment* segment);

  const std::uint8_t* data() const { return bytes_.data(); }

 private:
  std::vector<std::uint8_t> bytes_;
  std::int64_t next_ = 0;  // the place of the next byte; they are taken downwards
};

// Decodes all segments into `coefficients`, which are zeros before: in groups (coefficients.h), the
// DC coefficients as steps from one block to the next of its plane. False when a segment has a
// code that is not there, coefficients behind the end of a block, or other bytes than its blocks
// take; the coefficients mean nothing then.
bool DecodeSegments(const CodeTables& tables, const SegmentBytes& bytes,
                    std::span<const Segment> segments, std::int16_t* coefficients);

}  // namespace millrace::stages::region
