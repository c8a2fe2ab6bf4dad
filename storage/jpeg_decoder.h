// libjpeg's decoder as storage/ uses it: what it complains of becomes a Fault or a note of damage,
// and what it made of the picture stays readable. For .cc files of storage/ only.
//
// One object is for one picture and one thread. Functions that answer false have stopped early:
// Explain() says why, and nothing else may be called then.
#pragma once

#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string_view>

// jpeglib.h needs stdio.h before it.
#include <jpeglib.h>

#include "base/result.h"
#include "storage/jpeg_frame.h"
#include "storage/jpeg_info.h"
#include "storage/jpeg_scan.h"

namespace millrace::storage {

class JpegDecoder {
 public:
  // The bytes must outlive the object.
  JpegDecoder(std::span<const std::byte> bytes, OnDamage on_damage);
  ~JpegDecoder() { jpeg_destroy_decompress(&decoder_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  // Stops at whatever ReadJpegInfo() calls a fault.
  bool ReadHeader();

  // What the header says.
  const JpegInfo& info() const { return info_; }

  // After ReadHeader(): the scan that follows, if it is one that JpegScanReader may read:
  // sequential, Huffman-coded, with all planes in it, in one of the usual samplings. Of the
  // picture, all but the rows of the planes. Changes nothing: whatever comes of it, the functions
  // below may follow.
  bool GetScan(JpegFrame* frame, JpegScan* scan) const;

  // After ReadHeader() one of these three. All read to the end of the picture, and stop at whatever
  // a decode of its pixels would not get past, and at kMaxScans.
  //
  // Decodes everything and keeps nothing. Memory as CheckJpeg() says.
  bool Check();
  // Keeps the coefficients. Memory: up to 6 bytes a pixel. REQUIRES: CanHoldCoefficients()
  bool ReadCoefficients();
  // Writes the values of the four inks of a CMYK or YCCK picture, rows without padding. REQUIRES:
  // such a picture
  bool ReadInks(std::uint8_t* to);
  bool CanHoldCoefficients() const { return info_.pixels() <= kMaxCoefficientPixels; }

  // After any of them: kTruncated and kCorrupt where libjpeg had to make something up, and the
  // first warning about it.
  std::uint32_t damage() const { return damage_; }
  std::string_view damage_text() const { return damage_text_.data(); }
  // Bytes behind the end of the picture; 0 when it has no end.
  std::size_t trailing_bytes() const { return trailing_bytes_; }

  // After ReadCoefficients(): whether libjpeg shows the coefficients as they are. Where scans are
  // missing it makes some up ("block smoothing"), not in the same way in all its versions.
  bool ShowsCoefficients() const;
  // After ReadCoefficients(): the picture, as views of what this object holds.
  bool GetFrame(JpegFrame* frame);

  Fault Explain() const;

 private:
  static JpegDecoder& Of(j_common_ptr common);
  static void OnError(j_common_ptr common);
  static void OnMessage(j_common_ptr common, int level);
  static void OnProgress(j_common_ptr common);
  void NoteDamage(std::uint32_t kind);
  void LimitScans();
  bool Survived();
  void NoteEnd();

  // Whatever is changed between setjmp and longjmp lives here, not on the stack.
  std::span<const std::byte> bytes_;
  OnDamage on_damage_;
  jpeg_decompress_struct decoder_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf escape_{};
  int error_code_ = 0;  // libjpeg's reason to stop
  std::array<char, JMSG_LENGTH_MAX> error_text_{};
  const char* refusal_ = nullptr;  // our own reason to stop
  std::uint32_t damage_ = 0;
  std::array<char, JMSG_LENGTH_MAX> damage_text_{};
  bool has_all_rows_ = false;  // the pixels are known, whatever follows
  std::size_t trailing_bytes_ = 0;
  // Of the header. A second one, behind the picture, changes what decoder_ says before it is an
  // error.
  JpegInfo info_;
  int num_planes_ = 0;
  jvirt_barray_ptr* coefficients_ = nullptr;
};

}  // namespace millrace::storage
