#include "storage/jpeg_info.h"

#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstring>

// jpeglib.h needs stdio.h before it.
#include <jerror.h>
#include <jpeglib.h>

namespace millrace::storage {
namespace {

// The decoder and where it jumps to at the first error or warning. Trivially destructible, as all
// that the jump may cross.
struct Decoder {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf escape{};
  int message_code = 0;
  std::array<char, JMSG_LENGTH_MAX> message{};
  const char* refusal = nullptr;  // our own reason to stop
  JpegInfo facts;                 // once the header has been read
};

Decoder& Of(j_common_ptr info) { return *static_cast<Decoder*>(info->client_data); }

[[noreturn]] void Stop(j_common_ptr info) {
  Decoder& decoder = Of(info);
  decoder.message_code = info->err->msg_code;
  info->err->format_message(info, decoder.message.data());
  std::longjmp(decoder.escape, 1);
}

// Oddities of a header that leave the pixels alone: an unknown JFIF or Adobe variant, scan
// parameters that a sequential picture does not use.
bool IsHarmless(int warning) {
  return warning == JWRN_JFIF_MAJOR || warning == JWRN_ADOBE_XFORM ||
         warning == JWRN_NOT_SEQUENTIAL;
}

void OnMessage(j_common_ptr info, int level) {
  if (level < 0 && !IsHarmless(info->err->msg_code)) Stop(info);
}

void IgnoreText(j_common_ptr) {}

void CountScans(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMaxScans) return;
  Of(info).refusal = "a JPEG of more than 500 scans, made to waste time";
  std::longjmp(Of(info).escape, 1);
}

// A reason not to use a picture whose header has been read, or nullptr.
const char* Refuse(const jpeg_decompress_struct& info) {
  const std::uint64_t pixels = std::uint64_t{info.image_width} * info.image_height;
  if (pixels > kMaxPixels) return "a JPEG of more than 512 million pixels; make it smaller";
  if (info.arith_code) {
    return "an arithmetic-coded JPEG, which is not supported; convert it to a Huffman-coded one";
  }
  switch (info.jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_YCbCr:
    case JCS_RGB:
      return nullptr;
    case JCS_CMYK:
      return "a CMYK JPEG, which is not supported; convert it to RGB";
    case JCS_YCCK:
      return "a YCCK JPEG, which is not supported; convert it to RGB";
    default:
      return "a JPEG of an unknown colour space; convert it to RGB";
  }
}

Subsampling SubsamplingOf(const jpeg_decompress_struct& info) {
  if (info.num_components == 1) return Subsampling::kGray;
  const jpeg_component_info* planes = info.comp_info;
  for (int i = 1; i < info.num_components; ++i) {
    if (planes[i].h_samp_factor != 1 || planes[i].v_samp_factor != 1) return Subsampling::kOther;
  }
  switch (10 * planes[0].h_samp_factor + planes[0].v_samp_factor) {
    case 11:
      return Subsampling::k444;
    case 21:
      return Subsampling::k422;
    case 22:
      return Subsampling::k420;
    case 12:
      return Subsampling::k440;
    case 41:
      return Subsampling::k411;
    default:
      return Subsampling::kOther;
  }
}

JpegInfo Describe(const jpeg_decompress_struct& info) {
  return {.width = info.image_width,
          .height = info.image_height,
          .subsampling = SubsamplingOf(info),
          .color = info.jpeg_color_space == JCS_GRAYSCALE ? JpegColor::kGray
                   : info.jpeg_color_space == JCS_RGB     ? JpegColor::kRgb
                                                          : JpegColor::kYcc,
          .progressive = info.progressive_mode != FALSE};
}

// Reads the header and, when `whole`, decodes everything. Returns false when it stopped early, with
// the reason in `decoder`.
bool Decode(Decoder& decoder, std::span<const std::byte> bytes, bool whole) {
  jpeg_decompress_struct& info = decoder.info;
  if (setjmp(decoder.escape) != 0) return false;
  jpeg_create_decompress(&info);
  info.client_data = &decoder;
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&info, TRUE);
  decoder.facts = Describe(info);
  decoder.refusal = Refuse(info);
  if (decoder.refusal != nullptr) return false;
  if (!whole) return true;
  if (jpeg_has_multiple_scans(&info) &&
      std::uint64_t{info.image_width} * info.image_height > kMaxMultiScanPixels) {
    decoder.refusal = "a progressive JPEG of more than 64 million pixels; make it smaller";
    return false;
  }
  info.progress = &decoder.progress;
  // Every symbol is decoded at any scale, and all that can be wrong with the data is found there;
  // at 1/8 the inverse transform, which finds nothing, is almost free.
  info.scale_num = 1;
  info.scale_denom = 8;
  info.do_fancy_upsampling = FALSE;
  jpeg_start_decompress(&info);
  JSAMPARRAY rows = info.mem->alloc_sarray(
      reinterpret_cast<j_common_ptr>(&info), JPOOL_IMAGE,
      info.output_width * static_cast<JDIMENSION>(info.output_components), 1);
  while (info.output_scanline < info.output_height) jpeg_read_scanlines(&info, rows, 1);
  jpeg_finish_decompress(&info);
  return true;
}

Fault Explain(const Decoder& decoder) {
  if (decoder.refusal != nullptr) return Fault{decoder.refusal};
  switch (decoder.message_code) {
    case JWRN_JPEG_EOF:
    case JERR_INPUT_EOF:
      return Fault{"a truncated JPEG: the file ends before the picture does"};
    case JERR_BAD_PRECISION:
      return MakeFault("a JPEG of {} bits per sample; only 8 are supported",
                       decoder.info.data_precision);
    case JERR_IMAGE_TOO_BIG:
      return Fault{"a JPEG of more than 65500 pixels on a side; make it smaller"};
    default:
      return MakeFault("a corrupt JPEG ({})", decoder.message.data());
  }
}

Result<JpegInfo> Inspect(std::span<const std::byte> bytes, bool whole) {
  const std::string_view format = SniffFormat(bytes);
  if (bytes.empty()) return Fault{"an empty file"};
  if (format != "a JPEG image") {
    return MakeFault("{}, not a JPEG", format.empty() ? "a file of an unknown kind" : format);
  }
  Decoder decoder;
  decoder.info.err = jpeg_std_error(&decoder.errors);
  decoder.info.client_data = &decoder;
  decoder.errors.error_exit = Stop;
  decoder.errors.emit_message = OnMessage;
  decoder.errors.output_message = IgnoreText;
  decoder.progress.progress_monitor = CountScans;
  const bool finished = Decode(decoder, bytes, whole);
  const auto result =
      finished ? Result<JpegInfo>(decoder.facts) : Result<JpegInfo>(Explain(decoder));
  jpeg_destroy_decompress(&decoder.info);
  return result;
}

}  // namespace

std::string_view SniffFormat(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("\xFF\xD8")) return "a JPEG image";
  if (text.starts_with("\x89PNG")) return "a PNG image";
  if (text.starts_with("GIF8")) return "a GIF image";
  if (text.starts_with("BM")) return "a BMP image";
  if (text.starts_with("RIFF") && text.substr(0, 12).ends_with("WEBP")) return "a WebP image";
  if (text.starts_with(std::string_view("II*\0", 4)) ||
      text.starts_with(std::string_view("MM\0*", 4))) {
    return "a TIFF image";
  }
  const std::string_view brand = text.substr(0, 12);
  if (brand.ends_with("ftypavif")) return "an AVIF image";
  if (brand.ends_with("ftypheic") || brand.ends_with("ftypmif1")) return "a HEIF image";
  if (text.starts_with(std::string_view("\0\0\0\x0CjP  ", 8))) return "a JPEG 2000 image";
  if (text.size() > 2 && text[0] == 'P' && text[1] >= '1' && text[1] <= '6' &&
      (text[2] == '\n' || text[2] == ' ')) {
    return "a PNM image";
  }
  const auto first_word = text.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (first_word != std::string_view::npos) {
    const std::string_view start = text.substr(first_word, 14);
    for (const std::string_view tag : {"<!DOCTYPE html", "<!doctype html", "<html", "<HTML"}) {
      if (start.starts_with(tag)) return "an HTML page";
    }
    if (start.starts_with("<svg") || start.starts_with("<?xml")) return "an XML or SVG file";
  }
  return "";
}

Result<JpegInfo> ReadJpegInfo(std::span<const std::byte> bytes) { return Inspect(bytes, false); }

Result<JpegInfo> CheckJpeg(std::span<const std::byte> bytes) { return Inspect(bytes, true); }

}  // namespace millrace::storage
