#include "storage/cmyk_jpeg.h"

#include <array>
#include <csetjmp>
#include <cstdio>
#include <vector>

// jpeglib.h needs stdio.h before it.
#include <jerror.h>
#include <jpeglib.h>

#include "storage/jpeg_info.h"
#include "storage/record_view.h"

namespace millrace::storage {
namespace {

constexpr int kPlanes = 4;

// The decoder, what it found, and where it jumps to at the first error.
struct Decoder {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf escape{};
  std::array<char, JMSG_LENGTH_MAX> message{};
  std::uint32_t repairs = 0;
};

Decoder& Of(j_common_ptr info) { return *static_cast<Decoder*>(info->client_data); }

[[noreturn]] void Stop(j_common_ptr info) {
  info->err->format_message(info, Of(info).message.data());
  std::longjmp(Of(info).escape, 1);
}

void OnMessage(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
    case JWRN_NOT_SEQUENTIAL:
      return;  // oddities of the header
    case JWRN_JPEG_EOF:
      Of(info).repairs |= kTruncated;
      return;
    default:
      // Where the file ends early, all further complaints are about what is missing.
      if ((Of(info).repairs & kTruncated) == 0) Of(info).repairs |= kCorrupt;
  }
}

void IgnoreText(j_common_ptr) {}

void CountScans(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMaxScans) return;
  std::snprintf(Of(info).message.data(), JMSG_LENGTH_MAX, "more than %d scans", kMaxScans);
  std::longjmp(Of(info).escape, 1);
}

// Adobe's inverted inks to RGB, with the rounding of cmyk2rgb in Pillow's src/libImaging/Convert.c.
void ToRgb(const std::uint8_t* cmyk, std::uint32_t width, std::uint8_t* rgb) {
  for (std::uint32_t x = 0; x < width; ++x, cmyk += kPlanes) {
    const int light = cmyk[3];  // what black leaves
    for (int c = 0; c < 3; ++c) {
      const int product = (255 - cmyk[c]) * light + 128;
      *rgb++ = static_cast<std::uint8_t>(light - ((product >> 8) + product) / 256);
    }
  }
}

// The jump crosses the next two functions: neither has a local with a destructor. They answer false
// when libjpeg gave up.

bool ReadHeader(Decoder& decoder, std::span<const std::byte> bytes) {
  if (setjmp(decoder.escape) != 0) return false;
  jpeg_create_decompress(&decoder.info);
  decoder.info.client_data = &decoder;
  jpeg_mem_src(&decoder.info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&decoder.info, TRUE);
  return true;
}

bool ReadPixels(Decoder& decoder, std::uint8_t* row, std::uint8_t* rgb) {
  jpeg_decompress_struct& info = decoder.info;
  if (setjmp(decoder.escape) != 0) return false;
  info.progress = &decoder.progress;
  info.out_color_space = JCS_CMYK;
  jpeg_start_decompress(&info);
  while (info.output_scanline < info.output_height) {
    const std::size_t at = std::size_t{info.output_scanline} * info.output_width * 3;
    jpeg_read_scanlines(&info, &row, 1);
    ToRgb(row, info.output_width, rgb + at);
  }
  jpeg_finish_decompress(&info);
  if (info.src->bytes_in_buffer > 0) decoder.repairs |= kTrailingBytes;
  return true;
}

// A picture being read: releases what libjpeg holds of it.
class Reading {
 public:
  Reading() {
    decoder_.info.err = jpeg_std_error(&decoder_.errors);
    decoder_.info.client_data = &decoder_;
    decoder_.errors.error_exit = Stop;
    decoder_.errors.emit_message = OnMessage;
    decoder_.errors.output_message = IgnoreText;
    decoder_.progress.progress_monitor = CountScans;
  }
  ~Reading() { jpeg_destroy_decompress(&decoder_.info); }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  Decoder& decoder() { return decoder_; }
  Fault Explain() const { return MakeFault("a corrupt JPEG ({})", decoder_.message.data()); }

 private:
  Decoder decoder_;
};

}  // namespace

bool IsCmykJpeg(std::span<const std::byte> bytes) {
  Reading reading;
  return ReadHeader(reading.decoder(), bytes) && reading.decoder().info.num_components == kPlanes;
}

Result<CmykPicture> ReadCmykJpeg(std::span<const std::byte> bytes) {
  Reading reading;
  Decoder& decoder = reading.decoder();
  if (!ReadHeader(decoder, bytes)) return reading.Explain();
  const jpeg_decompress_struct& info = decoder.info;
  if (info.num_components != kPlanes) return Fault{"not a CMYK JPEG"};
  if (std::uint64_t{info.image_width} * info.image_height > kMaxHeldPixels) {
    return Fault{"a CMYK JPEG of more than 64 million pixels; make it smaller"};
  }
  CmykPicture picture{
      .pixels = {
          .width = info.image_width, .height = info.image_height, .channels = 3, .bytes = {}}};
  picture.pixels.bytes.resize(picture.pixels.row_bytes() * picture.pixels.height);
  std::vector<std::uint8_t> row(std::size_t{info.image_width} * kPlanes);
  if (!ReadPixels(decoder, row.data(), picture.pixels.bytes.data())) return reading.Explain();
  picture.repairs = decoder.repairs;
  return picture;
}

}  // namespace millrace::storage
