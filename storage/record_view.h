// What a reader hands out for one stored sample: views into the mapped shard, valid while its
// reader lives, or into memory that somebody else keeps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace millrace::storage {

// How the chroma planes of a JPEG are sampled. Values are stored; never renumber.
enum class Subsampling : std::uint8_t {
  kUnknown = 0,
  kGray = 1,
  k444 = 2,
  k422 = 3,
  k420 = 4,
  k440 = 5,
  k411 = 6,
  kOther = 7,
};

// What was changed of a picture at conversion: bits of RecordView::repairs. Values are stored;
// never renumber.
enum Repair : std::uint32_t {
  kTruncated = 1,         // the file ends early; what is missing is what libjpeg makes of it
  kCorrupt = 2,           // damaged data; what it hits is what libjpeg makes of it
  kCmyk = 4,              // CMYK or YCCK turned into RGB
  kOtherFormat = 8,       // not a JPEG, whatever it was named
  kTrailingBytes = 16,    // bytes behind the picture's end dropped
  kExifOrientation = 32,  // a tag that asks for a turn dropped; the pixels are not turned
  kArithmetic = 64,       // arithmetic coding replaced by Huffman coding
};

// The region index of FORMAT.md: empty where the record has none.
struct RegionIndexView {
  std::uint32_t segment_mcus = 0;  // MCUs in each restart segment; 0: no index
  // [bytes] of each segment, restart marker excluded. 16 bits: a picture with a segment of 64 KiB
  // or more gets no index, and the index of the others takes half the room.
  std::span<const std::uint16_t> segment_bytes = {};
};

// One sample as stored. All views point into the bytes of one record.
struct RecordView {
  std::uint32_t label = 0;   // class index into the manifest's list
  std::uint32_t width = 0;   // [pixels]
  std::uint32_t height = 0;  // [pixels]
  Subsampling subsampling = Subsampling::kUnknown;
  std::uint32_t repairs = 0;                // bits of Repair
  std::uint64_t payload_hash = 0;           // XXH3-64 of payload
  std::string_view path = {};               // in the source, relative, UTF-8 as found
  std::span<const std::byte> payload = {};  // the encoded picture, JPEG or PNG
  RegionIndexView region_index = {};
};

}  // namespace millrace::storage
