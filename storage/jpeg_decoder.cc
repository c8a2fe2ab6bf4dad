#include "storage/jpeg_decoder.h"

#include <jerror.h>

#include <algorithm>

namespace millrace::storage {
namespace {

constexpr std::string_view kJpegFormat = "a JPEG image";
constexpr const char* kTruncatedText = "a truncated JPEG: the file ends before the picture does";

void IgnoreText(j_common_ptr) {}

JpegColor ColorOf(const jpeg_decompress_struct& decoder) {
  switch (decoder.jpeg_color_space) {
    case JCS_GRAYSCALE:
      return JpegColor::kGray;
    case JCS_YCbCr:
      return JpegColor::kYcc;
    case JCS_RGB:
      return JpegColor::kRgb;
    case JCS_CMYK:
      return JpegColor::kCmyk;
    case JCS_YCCK:
      return JpegColor::kYcck;
    default:
      return JpegColor::kOther;
  }
}

Subsampling SubsamplingOf(const jpeg_decompress_struct& decoder) {
  if (decoder.num_components == 1) return Subsampling::kGray;
  const jpeg_component_info* planes = decoder.comp_info;
  for (int i = 1; i < decoder.num_components; ++i) {
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

JpegInfo Describe(const jpeg_decompress_struct& decoder) {
  return {.width = decoder.image_width,
          .height = decoder.image_height,
          .subsampling = SubsamplingOf(decoder),
          .color = ColorOf(decoder),
          .progressive = decoder.progressive_mode != FALSE,
          .arithmetic = decoder.arith_code != FALSE};
}

}  // namespace

bool IsHarmlessWarning(int code) {
  return code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM || code == JWRN_NOT_SEQUENTIAL;
}

JpegDecoder::JpegDecoder(std::span<const std::byte> bytes, OnDamage on_damage)
    : bytes_(bytes), on_damage_(on_damage) {
  decoder_.err = jpeg_std_error(&errors_);
  decoder_.client_data = this;
  errors_.error_exit = OnError;
  errors_.emit_message = OnMessage;
  errors_.output_message = IgnoreText;
  progress_.progress_monitor = OnProgress;
}

JpegDecoder& JpegDecoder::Of(j_common_ptr common) {
  return *static_cast<JpegDecoder*>(common->client_data);
}

void JpegDecoder::OnError(j_common_ptr common) {
  JpegDecoder& self = Of(common);
  self.error_code_ = common->err->msg_code;
  common->err->format_message(common, self.error_text_.data());
  std::longjmp(self.escape_, 1);
}

void JpegDecoder::OnMessage(j_common_ptr common, int level) {
  const int code = common->err->msg_code;
  if (level >= 0 || IsHarmlessWarning(code)) return;
  if (Of(common).on_damage_ == OnDamage::kFault) OnError(common);
  Of(common).NoteDamage(code == JWRN_JPEG_EOF ? kTruncated : kCorrupt);
}

void JpegDecoder::OnProgress(j_common_ptr common) { Of(common).LimitScans(); }

void JpegDecoder::NoteDamage(std::uint32_t kind) {
  if (damage_ == 0)
    errors_.format_message(reinterpret_cast<j_common_ptr>(&decoder_), damage_text_.data());
  // All that follows a premature end follows from it.
  if ((damage_ & kTruncated) == 0) damage_ |= kind;
}

void JpegDecoder::LimitScans() {
  if (decoder_.input_scan_number <= kMaxScans) return;
  refusal_ = "a JPEG of more than 500 scans, made to waste time";
  std::longjmp(escape_, 1);
}

// After a jump: whether all of the picture was there before.
bool JpegDecoder::Survived() {
  if (on_damage_ == OnDamage::kFault || !has_all_rows_) return false;
  NoteDamage(kCorrupt);
  return true;
}

void JpegDecoder::NoteEnd() {
  if ((damage_ & kTruncated) == 0) trailing_bytes_ = decoder_.src->bytes_in_buffer;
}

bool JpegDecoder::ReadHeader() {
  if (SniffFormat(bytes_) != kJpegFormat) return false;
  if (setjmp(escape_) != 0) return false;
  jpeg_create_decompress(&decoder_);
  jpeg_mem_src(&decoder_, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
  jpeg_read_header(&decoder_, TRUE);
  info_ = Describe(decoder_);
  num_planes_ = decoder_.num_components;
  if (info_.pixels() > kMaxPixels) {
    refusal_ = "a JPEG of more than 512 million pixels; make it smaller";
  } else if (jpeg_has_multiple_scans(&decoder_) && !CanHoldCoefficients()) {
    refusal_ = "a progressive JPEG of more than 64 million pixels; make it smaller";
  }
  return refusal_ == nullptr;
}

bool JpegDecoder::GetScan(JpegFrame* frame, JpegScan* scan) const {
  const bool has_usual_sampling =
      info_.subsampling != Subsampling::kUnknown && info_.subsampling != Subsampling::kOther;
  const bool is_whole = decoder_.comps_in_scan == num_planes_ && decoder_.Ss == 0 &&
                        decoder_.Se == static_cast<int>(kBlockSize) - 1 && decoder_.Ah == 0 &&
                        decoder_.Al == 0;
  if (info_.progressive || info_.arithmetic || !has_usual_sampling || !is_whole) return false;
  frame->width = info_.width;
  frame->height = info_.height;
  frame->color = info_.color;
  frame->planes.resize(static_cast<std::size_t>(num_planes_));
  scan->planes.resize(frame->planes.size());
  const auto copy = [](const JHUFF_TBL& from, HuffmanTable* to) {
    std::copy_n(from.bits + 1, to->lengths.size(), to->lengths.begin());
    std::copy_n(from.huffval, to->symbols.size(), to->symbols.begin());
  };
  for (int i = 0; i < num_planes_; ++i) {
    const jpeg_component_info& from = decoder_.comp_info[i];
    // Not looked at by libjpeg before it decodes.
    if (std::max({from.quant_tbl_no, from.dc_tbl_no, from.ac_tbl_no}) > 3) return false;
    const JQUANT_TBL* quantizers = decoder_.quant_tbl_ptrs[from.quant_tbl_no];
    const JHUFF_TBL* dc = decoder_.dc_huff_tbl_ptrs[from.dc_tbl_no];
    const JHUFF_TBL* ac = decoder_.ac_huff_tbl_ptrs[from.ac_tbl_no];
    const bool is_in_order = decoder_.cur_comp_info[i] == &from;
    if (quantizers == nullptr || dc == nullptr || ac == nullptr || !is_in_order) return false;
    CoefficientPlane& plane = frame->planes[static_cast<std::size_t>(i)];
    const bool single = num_planes_ == 1;
    plane.h = single ? 1 : static_cast<std::uint32_t>(from.h_samp_factor);
    plane.v = single ? 1 : static_cast<std::uint32_t>(from.v_samp_factor);
    plane.width_blocks = from.width_in_blocks;
    plane.rows.clear();
    std::copy_n(quantizers->quantval, kBlockSize, plane.quantizers.begin());
    scan->planes[static_cast<std::size_t>(i)] = {
        .height_blocks = from.height_in_blocks,
        .dc_table = static_cast<std::uint32_t>(from.dc_tbl_no),
        .ac_table = static_cast<std::uint32_t>(from.ac_tbl_no)};
    copy(*dc, &scan->dc_tables[static_cast<std::size_t>(from.dc_tbl_no)]);
    copy(*ac, &scan->ac_tables[static_cast<std::size_t>(from.ac_tbl_no)]);
  }
  scan->restart_interval = decoder_.restart_interval;
  scan->data = bytes_.last(decoder_.src->bytes_in_buffer);
  return true;
}

bool JpegDecoder::Check() {
  if (setjmp(escape_) != 0) return Survived();
  decoder_.progress = &progress_;
  // Every symbol is decoded at any scale, and all that can be wrong with the data is found there;
  // at 1/8 the inverse transform, which finds nothing, is almost free.
  decoder_.scale_num = 1;
  decoder_.scale_denom = 8;
  decoder_.do_fancy_upsampling = FALSE;
  jpeg_start_decompress(&decoder_);
  JSAMPARRAY rows = decoder_.mem->alloc_sarray(
      reinterpret_cast<j_common_ptr>(&decoder_), JPOOL_IMAGE,
      decoder_.output_width * static_cast<JDIMENSION>(decoder_.output_components), 1);
  while (decoder_.output_scanline < decoder_.output_height) {
    jpeg_read_scanlines(&decoder_, rows, 1);
  }
  has_all_rows_ = true;
  jpeg_finish_decompress(&decoder_);
  NoteEnd();
  return true;
}

bool JpegDecoder::ReadInks(std::uint8_t* to) {
  if (setjmp(escape_) != 0) return Survived();
  decoder_.progress = &progress_;
  decoder_.out_color_space = JCS_CMYK;
  jpeg_start_decompress(&decoder_);
  const std::size_t row_bytes = std::size_t{decoder_.output_width} * 4;
  while (decoder_.output_scanline < decoder_.output_height) {
    JSAMPROW row = to + decoder_.output_scanline * row_bytes;
    jpeg_read_scanlines(&decoder_, &row, 1);
  }
  has_all_rows_ = true;
  jpeg_finish_decompress(&decoder_);
  NoteEnd();
  return true;
}

bool JpegDecoder::ReadCoefficients() {
  if (setjmp(escape_) != 0) return Survived();
  // Buffered-image mode sets up the whole decoder, so that it stops at what it cannot show
  // (fractions in sampling), and hands out the coefficients whatever comes behind them.
  decoder_.buffered_image = TRUE;
  jpeg_start_decompress(&decoder_);
  coefficients_ = jpeg_read_coefficients(&decoder_);
  for (;;) {
    const int reached = jpeg_consume_input(&decoder_);
    if (reached == JPEG_REACHED_EOI) break;
    if (reached == JPEG_REACHED_SOS) LimitScans();
    // Pictures of several scans are read to their end before libjpeg shows anything.
    if (reached == JPEG_SCAN_COMPLETED && !jpeg_has_multiple_scans(&decoder_)) has_all_rows_ = true;
  }
  NoteEnd();
  return true;
}

bool JpegDecoder::ShowsCoefficients() const {
  if (!info_.progressive) return true;
  // What smoothing_ok() of jdcoefct.c looks at: whether the first nine AC coefficients of every
  // plane are known to their last bit.
  for (int plane = 0; plane < num_planes_; ++plane) {
    const int* missing_bits = decoder_.coef_bits[plane];
    if (std::any_of(missing_bits + 1, missing_bits + 10, [](int bits) { return bits != 0; })) {
      return false;
    }
  }
  return true;
}

bool JpegDecoder::GetFrame(JpegFrame* frame) {
  if (setjmp(escape_) != 0) return false;
  frame->width = info_.width;
  frame->height = info_.height;
  frame->color = info_.color;
  frame->planes.resize(static_cast<std::size_t>(num_planes_));
  // A plane without any scan has no quantisers, but then all its coefficients are 0.
  const JQUANT_TBL* quantizers = nullptr;
  for (int i = 0; i < num_planes_; ++i) {
    if (decoder_.comp_info[i].quant_table != nullptr)
      quantizers = decoder_.comp_info[i].quant_table;
  }
  for (int i = 0; i < num_planes_; ++i) {
    const jpeg_component_info& from = decoder_.comp_info[i];
    CoefficientPlane& plane = frame->planes[static_cast<std::size_t>(i)];
    if (from.quant_table != nullptr) quantizers = from.quant_table;
    std::copy_n(quantizers->quantval, kBlockSize, plane.quantizers.begin());
    const bool single = num_planes_ == 1;
    plane.h = single ? 1 : static_cast<std::uint32_t>(from.h_samp_factor);
    plane.v = single ? 1 : static_cast<std::uint32_t>(from.v_samp_factor);
    plane.width_blocks = from.width_in_blocks;
    plane.rows.resize(from.height_in_blocks);
    // As many rows at a time as the array was made for. Rows stay where they are: libjpeg-turbo
    // keeps whole arrays in memory.
    const auto step = static_cast<JDIMENSION>(from.v_samp_factor);
    for (JDIMENSION y = 0; y < from.height_in_blocks; y += step) {
      JBLOCKARRAY rows = decoder_.mem->access_virt_barray(reinterpret_cast<j_common_ptr>(&decoder_),
                                                          coefficients_[i], y, step, FALSE);
      for (JDIMENSION k = 0; k < step && y + k < from.height_in_blocks; ++k) {
        plane.rows[y + k] = rows[k][0];
      }
    }
  }
  return true;
}

Fault JpegDecoder::Explain() const {
  if (bytes_.empty()) return Fault{"an empty file"};
  if (const auto format = SniffFormat(bytes_); format != kJpegFormat) {
    return MakeFault("{}, not a JPEG", format.empty() ? "a file of an unknown kind" : format);
  }
  if (refusal_ != nullptr) return Fault{refusal_};
  if ((damage_ & kTruncated) != 0) return Fault{kTruncatedText};
  switch (error_code_) {
    case JWRN_JPEG_EOF:
    case JERR_INPUT_EOF:
      return Fault{kTruncatedText};
    case JERR_BAD_PRECISION:
      return MakeFault("a JPEG of {} bits per sample; only 8 are supported",
                       decoder_.data_precision);
    case JERR_IMAGE_TOO_BIG:
      return Fault{"a JPEG of more than 65500 pixels on a side; make it smaller"};
    default:
      return MakeFault("a corrupt JPEG ({})", error_text_.data());
  }
}

}  // namespace millrace::storage
