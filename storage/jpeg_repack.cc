#include "storage/jpeg_repack.h"

#include <algorithm>
#include <limits>
#include <string_view>

#include "storage/jpeg_decoder.h"
#include "storage/jpeg_markers.h"

namespace millrace::storage {
namespace {

// Shorter segments cost more bytes than they spare decoding.
constexpr std::uint32_t kLeastSegmentWidth = 64;  // [pixels]

// The MCUs of a segment: as few as divide a row evenly and are wide enough.
std::uint32_t SegmentMcus(const JpegFrame& frame) {
  const std::uint32_t in_row = frame.mcus_per_row();
  for (std::uint32_t mcus = 1; mcus < in_row; ++mcus) {
    if (in_row % mcus == 0 && mcus * frame.mcu_width() >= kLeastSegmentWidth) return mcus;
  }
  return in_row;
}

void Append(std::string* list, const std::string& item) {
  if (!list->empty()) *list += "; ";
  *list += item;
}

}  // namespace

// Takes what was written with markers, and its index. False: the index cannot say so much, and
// markers are there for the index.
bool JpegRepacker::TakeWritten(std::uint32_t segment_mcus, RepackedJpeg* result) {
  const auto lengths = writer_.segment_bytes();
  if (*std::max_element(lengths.begin(), lengths.end()) >
      std::numeric_limits<std::uint16_t>::max()) {
    return false;
  }
  segment_bytes_.resize(lengths.size());
  std::transform(lengths.begin(), lengths.end(), segment_bytes_.begin(),
                 [](std::size_t bytes) { return static_cast<std::uint16_t>(bytes); });
  result->region_index = {.segment_mcus = segment_mcus, .segment_bytes = segment_bytes_};
  result->payload = writer_.bytes();
  return true;
}

bool JpegRepacker::RepackScan(const JpegDecoder& decoder, RepackedJpeg* result) {
  if (!decoder.GetScan(&frame_, &scan_)) return false;
  const std::uint32_t segment_mcus = SegmentMcus(frame_);
  if (!scan_reader_.Read(frame_, scan_, segment_mcus)) return false;
  writer_.Write(frame_, segment_mcus, scan_reader_.tokens());
  return TakeWritten(segment_mcus, result);
}

bool JpegRepacker::Write(RepackedJpeg* result) {
  const std::uint32_t segment_mcus = SegmentMcus(frame_);
  if (!writer_.Write(frame_, segment_mcus)) return false;
  if (TakeWritten(segment_mcus, result)) return true;
  if (!writer_.Write(frame_, 0)) return false;
  result->payload = writer_.bytes();
  return true;
}

Result<RepackedJpeg> JpegRepacker::Repack(std::span<const std::byte> jpeg, OnDamage on_damage) {
  JpegDecoder decoder(jpeg, on_damage);
  if (!decoder.ReadHeader()) return decoder.Explain();
  RepackedJpeg result;
  result.info = decoder.info();
  if (const char* reason = WhyNotStored(result.info.color)) return Fault{reason};

  const char* obstacle = nullptr;
  const bool is_scan = RepackScan(decoder, &result);
  if (is_scan) {
    // All is done.
  } else if (!decoder.CanHoldCoefficients()) {
    obstacle = "more than 64 million pixels";
    if (!decoder.Check()) return decoder.Explain();
  } else {
    if (!decoder.ReadCoefficients() || !decoder.GetFrame(&frame_)) return decoder.Explain();
    if (!decoder.ShowsCoefficients()) {
      obstacle = "a progressive picture that lacks scans";
    } else if (frame_.blocks_in_mcu() > kMostBlocksInMcu) {
      obstacle = "sampling factors that only separate scans can have";
    } else if (!Write(&result)) {
      obstacle = "coefficients that Huffman codes cannot say";
    }
  }

  const std::size_t trailing_bytes =
      is_scan ? scan_reader_.trailing_bytes() : decoder.trailing_bytes();

  if (obstacle != nullptr) {
    // What is stored is Huffman-coded.
    if (result.info.arithmetic) {
      return MakeFault("an arithmetic-coded JPEG that cannot be made a Huffman-coded one ({})",
                       obstacle);
    }
    result.is_packed = false;
    kept_ = WithoutMetadata(jpeg.first(jpeg.size() - trailing_bytes));
    result.payload = kept_;
    Append(&result.found, fmt::format("not packed anew: {}", obstacle));
  }
  if (decoder.damage() != 0) {
    result.repairs |= decoder.damage();
    Append(
        &result.found,
        fmt::format("{} ({})", (decoder.damage() & kTruncated) != 0 ? "truncated" : "corrupt data",
                    decoder.damage_text()));
  }
  if (trailing_bytes > 0) {
    result.repairs |= kTrailingBytes;
    Append(&result.found, fmt::format("{} bytes after the end", trailing_bytes));
  }
  if (const int orientation = ExifOrientation(jpeg);
      orientation != 1 && ExifOrientation(result.payload) == 1) {
    result.repairs |= kExifOrientation;
    Append(&result.found, fmt::format("EXIF orientation {}", orientation));
  }
  if (result.info.arithmetic) {
    result.repairs |= kArithmetic;
    Append(&result.found, "arithmetic coding");
  }
  return result;
}

}  // namespace millrace::storage
