// Packs a JPEG anew without touching its pixels: baseline, Huffman codes made for it, no metadata,
// and restart markers whose places are known, the region index of FORMAT.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/jpeg_frame.h"
#include "storage/jpeg_info.h"
#include "storage/jpeg_scan.h"
#include "storage/jpeg_writer.h"
#include "storage/record_view.h"

namespace millrace::storage {

class JpegDecoder;

// What a JPEG became. Payload and index are views into the JpegRepacker (or, without an index,
// maybe into the bytes that it was given), valid until its next Repack().
struct RepackedJpeg {
  std::span<const std::byte> payload;
  RegionIndexView region_index;
  JpegInfo info;              // of the picture as it came
  std::uint32_t repairs = 0;  // bits of Repair
  // Whether the payload is baseline and, in a decoder that warns of nothing, shows the pixels that
  // libjpeg-turbo shows of the picture as it came. When false, the payload still is what came, but
  // for metadata and trailing bytes, since nothing else shows these pixels; damaged data is then
  // damaged still.
  bool is_packed = true;
  std::string found;  // for a report: what `repairs` and is_packed stand for, in words; or empty
};

// Packs one picture after the other; its memory (coefficients aside, up to 6 bytes a pixel while a
// picture is at work) is kept for the next. One thread.
class JpegRepacker {
 public:
  // Faults: those of ReadJpegInfo(); a colour that is not stored (WhyNotStored()); data from which
  // libjpeg gets no picture; with OnDamage::kFault also whatever it warns of, as CheckJpeg() does.
  // After a fault the next picture may follow.
  //
  // With OnDamage::kRepair the pixels of damaged data are those of a libjpeg-turbo decoder with its
  // defaults that passes over warnings.
  Result<RepackedJpeg> Repack(std::span<const std::byte> jpeg, OnDamage on_damage);

 private:
  // Packs the picture without libjpeg, which is several times as fast. False: not this one.
  bool RepackScan(const JpegDecoder& decoder, RepackedJpeg* result);
  // Writes the coefficients of frame_, with an index where it can have one. False: it cannot be
  // written.
  bool Write(RepackedJpeg* result);
  bool TakeWritten(std::uint32_t segment_mcus, RepackedJpeg* result);

  JpegFrame frame_;
  JpegScan scan_;
  JpegScanReader scan_reader_;
  JpegWriter writer_;
  std::vector<std::uint16_t> segment_bytes_;
  std::vector<std::byte> kept_;  // the payload of a picture that is not packed
};

}  // namespace millrace::storage
