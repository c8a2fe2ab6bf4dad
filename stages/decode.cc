#include "stages/decode.h"

#include <csetjmp>
#include <cstdio>  // jpeglib.h needs it first
#include <cstring>

#include <jpeglib.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "stages/decode_scale.h"
#include "stages/region/region_decoder.h"
#include "stages/region_jpeg.h"
#include "stages/simd.h"
#include "storage/jpeg_info.h"
#include "storage/png_picture.h"

namespace millrace::stages {

namespace {

// jpeg_read_scanlines returns at most one row group, which is never more than four rows.
constexpr int kRowsPerCall = 4;

Fault OtherSize(const char* format, Size found, Size announced) {
  return MakeFault("the {} is {}x{} pixels where {}x{} were announced", format, found.width,
                   found.height, announced.width, announced.height);
}

Size SizeOf(const storage::RecordView& record) {
  return {static_cast<int>(record.width), static_cast<int>(record.height)};
}

void CheckRegion(Box region, Size picture) {
  MILLRACE_CHECK(region.x >= 0 && region.y >= 0 && region.width > 0 && region.height > 0);
  MILLRACE_CHECK(region.x + region.width <= picture.width);
  MILLRACE_CHECK(region.y + region.height <= picture.height);
}

// False where jpeg_crop_scanline miscounts the columns of a plane (libjpeg-turbo 2.1.5): it takes
// them to be as many as without a scale, and the inverse DCT made more of them, but not yet all
// (4:1:0 at a smaller scale). After jpeg_start_decompress.
bool CanCropColumns(const jpeg_decompress_struct& info) {
  const auto whole = static_cast<JDIMENSION>(info.max_h_samp_factor);
  return std::all_of(info.comp_info, info.comp_info + info.num_components, [&](const auto& plane) {
    const auto part = static_cast<JDIMENSION>(plane.h_samp_factor);
    return plane.downsampled_width >= info.output_width ||
           plane.downsampled_width == (info.output_width * part + whole - 1) / whole;
  });
}

// The size of a PNG payload.
Result<Size> ReadPngSize(std::span<const std::byte> png) {
  const auto info = storage::ReadPngInfo(png);
  if (!info) return info.fault();
  return Size{static_cast<int>(info->width), static_cast<int>(info->height)};
}

// REQUIRES: region inside the picture
Outcome ReadPng(std::span<const std::byte> png, Box region, Image* out) {
  out->Resize(region.width, region.height);
  return storage::ReadPngRegion(png,
                                {.x = static_cast<std::uint32_t>(region.x),
                                 .y = static_cast<std::uint32_t>(region.y),
                                 .width = static_cast<std::uint32_t>(region.width),
                                 .height = static_cast<std::uint32_t>(region.height)},
                                out->row(0), out->row_bytes());
}

}  // namespace

struct Decoder::Engine {
  jpeg_decompress_struct info;
  jpeg_error_mgr errors;
  std::jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
  bool uses_regions = false;
  region::RegionDecoder regions;
  RegionJpeg part;
  DecodeCounts counts;
  std::vector<std::uint8_t> scratch;  // rows as libjpeg delivers them, wider than the region

  Engine();
  ~Engine() { jpeg_destroy_decompress(&info); }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Of the picture whose header was read.
  Size size() const {
    return {static_cast<int>(info.image_width), static_cast<int>(info.image_height)};
  }

  // The functions below are the only ones that longjmp crosses. None has a local with a destructor,
  // nor has anything that they call. They answer false with `message` set.
  bool ReadHeader(std::span<const std::byte> jpeg);
  bool ReadRegion(Box region, int scale, std::uint8_t* out, std::size_t out_row_bytes);

  static void OnError(j_common_ptr common) {
    Engine* engine = static_cast<Engine*>(common->client_data);
    common->err->format_message(common, engine->message);
    std::longjmp(engine->escape, 1);
  }

  static void OnMessage(j_common_ptr common, int level) {
    // Negative levels are warnings.
    if (level < 0 && !storage::IsHarmlessWarning(common->err->msg_code)) OnError(common);
  }
};

Decoder::Engine::Engine() {
  info.err = jpeg_std_error(&errors);
  errors.error_exit = &OnError;
  errors.emit_message = &OnMessage;
  info.client_data = this;
  // Fails only when memory for a few tables is lacking or header and library differ.
  MILLRACE_CHECK(setjmp(escape) == 0);
  jpeg_create_decompress(&info);
}

bool Decoder::Engine::ReadHeader(std::span<const std::byte> jpeg) {
  jpeg_abort_decompress(&info);  // a picture refused after its header is still open
  if (setjmp(escape) != 0) {
    jpeg_abort_decompress(&info);
    return false;
  }
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(jpeg.data()), jpeg.size());
  jpeg_read_header(&info, TRUE);
  return true;
}

bool Decoder::Engine::ReadRegion(Box region, int scale, std::uint8_t* out,
                                 std::size_t out_row_bytes) {
  if (setjmp(escape) != 0) {
    jpeg_abort_decompress(&info);
    return false;
  }
  info.out_color_space = JCS_RGB;
  info.scale_num = static_cast<unsigned>(scale);
  info.scale_denom = kFullScale;
  // Files of several scans (progressive, non-interleaved) are read to their end before the first
  // row comes. They keep their columns and upper rows: block smoothing, which libjpeg applies where
  // a scan is missing, looks further than our context, and skipping saves little after a full pass.
  const bool partial = jpeg_has_multiple_scans(&info) == FALSE;
  jpeg_start_decompress(&info);
  JDIMENSION left = 0;
  if (partial) {
    left = static_cast<JDIMENSION>(std::max(0, region.x - kContext));
    const auto right =
        std::min(info.output_width, static_cast<JDIMENSION>(region.x + region.width + kContext));
    JDIMENSION width = right - left;
    if (CanCropColumns(info)) {
      jpeg_crop_scanline(&info, &left, &width);
    } else {
      left = 0;
    }
    jpeg_skip_scanlines(&info, static_cast<JDIMENSION>(std::max(0, region.y - kContext)));
  }
  JSAMPROW rows[kRowsPerCall];
  for (int i = 0; i < kRowsPerCall; ++i) {
    rows[i] = scratch.data() + static_cast<std::size_t>(i) * info.output_width * kChannels;
  }
  const auto first = static_cast<JDIMENSION>(region.y);
  const auto end = static_cast<JDIMENSION>(region.y + region.height);
  const std::size_t left_bytes = (static_cast<JDIMENSION>(region.x) - left) * kChannels;
  while (info.output_scanline < end) {
    const JDIMENSION top = info.output_scanline;
    const JDIMENSION got = jpeg_read_scanlines(&info, rows, kRowsPerCall);
    for (JDIMENSION i = 0; i < got; ++i) {
      if (top + i < first || top + i >= end) continue;
      std::memcpy(out + (top + i - first) * out_row_bytes, rows[i] + left_bytes, out_row_bytes);
    }
  }
  jpeg_abort_decompress(&info);
  return true;
}

DecodeEngine ReadDecodeEngine(const Params& decode) {
  const std::string engine = decode.Choice("engine", {"auto", "region", "libjpeg-turbo"}, "auto");
  if (engine == "region") return DecodeEngine::kRegion;
  return engine == "auto" ? DecodeEngine::kAuto : DecodeEngine::kLibjpegTurbo;
}

DecodeDevice ReadDecodeDevice(const Params& decode) {
  return decode.Choice("device", {"cpu", "gpu"}, "cpu") == "gpu" ? DecodeDevice::kGpu
                                                                 : DecodeDevice::kCpu;
}

Decoder::Decoder(DecodeEngine engine) : engine_(std::make_unique<Engine>()) {
  engine_->uses_regions =
      engine == DecodeEngine::kRegion || (engine == DecodeEngine::kAuto && HasSimd());
}
Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;

const DecodeCounts& Decoder::counts() const { return engine_->counts; }

// Reads the header of `jpeg` into engine_ and refuses what cannot be decoded to RGB.
Outcome Decoder::Open(std::span<const std::byte> jpeg) {
  if (!engine_->ReadHeader(jpeg)) return Fault{engine_->message};
  const jpeg_decompress_struct& info = engine_->info;
  switch (info.jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_RGB:
    case JCS_YCbCr:
      break;
    case JCS_CMYK:
    case JCS_YCCK:
      return MakeFault("the JPEG is CMYK, not RGB; 'millrace convert --on-bad repair' converts it");
    default:
      return MakeFault("the JPEG has {} components of an unknown colour space",
                       info.num_components);
  }
  if (std::size_t{info.image_width} * info.image_height > kMostPixels) {
    return MakeFault("the JPEG announces {}x{} pixels; more than {} are refused", info.image_width,
                     info.image_height, kMostPixels);
  }
  return Ok();
}

Outcome Decoder::Read(Box region, int scale, Image* out) {
  out->Resize(region.width, region.height);
  const std::size_t scratch_bytes = std::size_t{engine_->info.image_width} * kChannels;
  if (engine_->scratch.size() < scratch_bytes * kRowsPerCall) {
    engine_->scratch.resize(scratch_bytes * kRowsPerCall);
  }
  if (!engine_->ReadRegion(region, scale, out->row(0), out->row_bytes())) {
    return Fault{engine_->message};
  }
  return Ok();
}

// Where nothing is damaged and the record has an index of a JPEG that it knows.
template <typename Out>
bool Decoder::DecodeByRegions(const storage::RecordView& record, Box region, Out* out) {
  const bool is_decoded = engine_->uses_regions &&
                          std::size_t{record.width} * record.height <= kMostPixels &&
                          engine_->regions.Decode(record, region, out);
  engine_->counts.region += is_decoded;
  return is_decoded;
}

bool Decoder::DecodeRows(const storage::RecordView& record, Box region, RowSink* rows) {
  CheckRegion(region, SizeOf(record));
  return DecodeByRegions(record, region, rows);
}

Outcome Decoder::Decode(const storage::RecordView& record, Box region, Image* out, int scale) {
  const Size picture = SizeOf(record);
  CheckRegion(region, ScaledSize(picture, scale));
  if (storage::IsPng(record.payload)) {
    MILLRACE_CHECK(scale == kFullScale);
    const Result<Size> size = ReadPngSize(record.payload);
    if (!size) return size.fault();
    if (*size != picture) return OtherSize("PNG", *size, picture);
    ++engine_->counts.libpng;
    return ReadPng(record.payload, region, out);
  }
  // The region decoder is exact in the picture's own size.
  if (scale == kFullScale && DecodeByRegions(record, region, out)) return Ok();
  ++engine_->counts.libjpeg_turbo;
  RegionJpeg& part = engine_->part;
  if (part.Assemble(record, region, scale)) {
    if (Outcome opened = Open(part.jpeg()); !opened) return opened;
    return Read(part.region(), scale, out);
  }
  if (Outcome opened = Open(record.payload); !opened) return opened;
  if (engine_->size() != picture) return OtherSize("JPEG", engine_->size(), picture);
  return Read(region, scale, out);
}

Outcome Decoder::DecodeFull(std::span<const std::byte> payload, Image* out) {
  if (storage::IsPng(payload)) {
    const Result<Size> size = ReadPngSize(payload);
    if (!size) return size.fault();
    return ReadPng(payload, {0, 0, size->width, size->height}, out);
  }
  if (Outcome opened = Open(payload); !opened) return opened;
  const Size size = engine_->size();
  return Read({0, 0, size.width, size.height}, kFullScale, out);
}

}  // namespace millrace::stages
