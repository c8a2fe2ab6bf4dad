// A payload to RGB, of a whole picture or only of the region that a crop needs.
//
// Payloads are JPEGs, or PNGs where there is no exact JPEG (storage/FORMAT.md). Pixels of a JPEG
// are those of libjpeg-turbo at its defaults (accurate integer DCT, fancy upsampling, block
// smoothing), which are also Pillow's, in the smaller sizes of stages/decode_scale.h too. A region
// decoded alone equals the same region of the full decode bit for bit, whatever the scale.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/params.h"
#include "base/result.h"
#include "stages/geometry.h"
#include "stages/image.h"
#include "stages/row_sink.h"
#include "storage/record_view.h"

namespace millrace::stages {

// Pictures of more pixels than this are a Fault: a few bytes can announce 65,500 x 65,500 pixels
// and exhaust the memory. Pillow refuses from the same number on (2 x Image.MAX_IMAGE_PIXELS).
inline constexpr std::size_t kMostPixels = 178'956'970;

// `decode.engine` of the recipe: who decodes JPEGs with a region index. The pixels are the same.
enum class DecodeEngine : std::uint8_t {
  kAuto,          // the region decoder where the processor has vectors for it
  kRegion,        // the region decoder; libjpeg-turbo what that does not know
  kLibjpegTurbo,  // libjpeg-turbo
};

// `engine` of the recipe's [decode]: "auto" (the default), "region" or "libjpeg-turbo".
DecodeEngine ReadDecodeEngine(const Params& decode);

// `device` of the recipe's [decode]: where JPEGs with a region index are decoded and resized. The
// pixels are the same.
enum class DecodeDevice : std::uint8_t {
  kCpu,
  kGpu,  // that of the lane (stages/gpu); what it does not know is decoded on the CPU
};

// "cpu" (the default) or "gpu".
DecodeDevice ReadDecodeDevice(const Params& decode);

// How many pictures each has decoded.
struct DecodeCounts {
  std::uint64_t gpu = 0;
  std::uint64_t region = 0;
  std::uint64_t libjpeg_turbo = 0;
  std::uint64_t libpng = 0;

  DecodeCounts& operator+=(const DecodeCounts& other) {
    gpu += other.gpu;
    region += other.region;
    libjpeg_turbo += other.libjpeg_turbo;
    libpng += other.libpng;
    return *this;
  }
};

// Decodes one picture after the other, JPEGs by the region decoder (stages/region) or by a
// libjpeg-turbo decompressor that is used again and again: nothing is allocated per JPEG outside
// libjpeg's own pools. A PNG, of which a set has few, gets a libpng decoder of its own. One per
// worker thread; one thread at a time.
//
// Faults (empty, truncated or corrupt data, 12-bit samples, CMYK, a size other than the announced
// one) carry libjpeg's or libpng's text. Whatever libjpeg warns of as corrupt is a fault too,
// because the pixels would be guesses. Corruption outside of what a region needs is not noticed.
// After a fault `out` is undefined and the decoder is ready for the next picture.
class Decoder {
 public:
  explicit Decoder(DecodeEngine engine = DecodeEngine::kAuto);
  ~Decoder();
  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;

  // Decodes `region` of the record's picture into `out`, which gets the region's size: through its
  // region index where it has one. `scale`, of stages/decode_scale.h, makes the picture smaller
  // first. REQUIRES: region not empty and inside the picture so scaled; full scale for PNGs
  Outcome Decode(const storage::RecordView& record, Box region, Image* out, int scale = kFullScale);

  // The same in full scale, row by row, where the region decoder does it. False, after some of the
  // rows, where it does not: then the other Decode() does.
  bool DecodeRows(const storage::RecordView& record, Box region, RowSink* rows);

  // Decodes everything, whatever its size.
  Outcome DecodeFull(std::span<const std::byte> payload, Image* out);

  const DecodeCounts& counts() const;

 private:
  struct Engine;

  template <typename Out>
  bool DecodeByRegions(const storage::RecordView& record, Box region, Out* out);
  Outcome Open(std::span<const std::byte> jpeg);
  Outcome Read(Box region, int scale, Image* out);

  std::unique_ptr<Engine> engine_;
};

}  // namespace millrace::stages
