#include "stages/region_jpeg.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <optional>

#include "stages/decode_scale.h"
#include "storage/jpeg_marker_codes.h"

namespace millrace::stages {
namespace {

using storage::kDri;
using storage::kEoi;
using storage::kRst0;
using storage::kSof0;
using storage::kSof1;
using storage::kSoi;
using storage::kSos;
using Bytes = std::span<const std::byte>;

// What the header of a payload says about where its segments are.
struct Header {
  std::size_t frame = 0;  // where SOF stands [bytes]
  std::size_t scan = 0;   // where the first segment begins [bytes]
  unsigned restart_interval = 0;
  Size picture;
  Size mcu{8, 8};
};

unsigned At(Bytes bytes, std::size_t at) { return std::to_integer<unsigned>(bytes[at]); }
unsigned WordAt(Bytes bytes, std::size_t at) { return At(bytes, at) << 8 | At(bytes, at + 1); }

// Of a sequential picture; nothing when the bytes are no such thing.
std::optional<Header> ReadHeader(Bytes jpeg) {
  Header header;
  if (jpeg.size() < 4 || WordAt(jpeg, 0) != (0xFF00 | kSoi)) return {};
  for (std::size_t at = 2; at + 4 <= jpeg.size();) {
    if (At(jpeg, at) != 0xFF) return {};
    const unsigned marker = At(jpeg, at + 1);
    const std::size_t end = at + 2 + WordAt(jpeg, at + 2);
    if (end > jpeg.size() || end < at + 4) return {};
    if (marker == kDri && end - at >= 6) header.restart_interval = WordAt(jpeg, at + 4);
    if (marker == kSof0 || marker == kSof1) {
      if (header.frame != 0 || end - at < 10) return {};
      header.frame = at;
      header.picture = {static_cast<int>(WordAt(jpeg, at + 7)),
                        static_cast<int>(WordAt(jpeg, at + 5))};
      const std::size_t planes = At(jpeg, at + 9);
      if (end - at < 10 + 3 * planes) return {};
      // A single plane is not interleaved, whatever its factors.
      for (std::size_t plane = 0; plane < planes && planes > 1; ++plane) {
        const unsigned factors = At(jpeg, at + 11 + 3 * plane);
        header.mcu.width = std::max(header.mcu.width, static_cast<int>(8 * (factors >> 4)));
        header.mcu.height = std::max(header.mcu.height, static_cast<int>(8 * (factors & 15)));
      }
    }
    at = end;
    if (marker != kSos) continue;
    if (header.frame == 0) return {};
    header.scan = at;
    return header;
  }
  return {};
}

// From `begin` to `end`, of segments or of their rows.
struct Range {
  std::size_t begin;
  std::size_t end;
};

// Those of size `each` that the pixels from `first` on meet, with their context.
Range Cover(int first, int pixels, int all, int each) {
  const int begin = std::max(0, first - kContext);
  const int end = std::min(all, first + pixels + kContext);
  return {static_cast<std::size_t>(begin / each),
          static_cast<std::size_t>((end + each - 1) / each)};
}

void PutWord(std::byte* to, int value) {
  to[0] = static_cast<std::byte>(value >> 8);
  to[1] = static_cast<std::byte>(value);
}

}  // namespace

bool RegionJpeg::Assemble(const storage::RecordView& record, Box region, int scale) {
  const std::uint32_t segment_mcus = record.region_index.segment_mcus;
  const std::span<const std::uint16_t> segments = record.region_index.segment_bytes;
  if (segment_mcus == 0) return false;
  const auto header = ReadHeader(record.payload);
  if (!header || header->restart_interval != segment_mcus ||
      header->picture.width != static_cast<int>(record.width) ||
      header->picture.height != static_cast<int>(record.height)) {
    return false;
  }
  const Size all = header->picture;
  const Size segment{static_cast<int>(segment_mcus) * header->mcu.width, header->mcu.height};
  const auto columns = static_cast<std::size_t>((all.width + segment.width - 1) / segment.width);
  const auto rows = static_cast<std::size_t>((all.height + segment.height - 1) / segment.height);
  if (segments.size() != columns * rows) return false;
  // Sides of segments are multiples of 8 pixels, of which a scale takes as many as it says.
  const Size decoded = ScaledSize(all, scale);
  const Size decoded_segment = ScaledSize(segment, scale);
  const Range x = Cover(region.x, region.width, decoded.width, decoded_segment.width);
  const Range y = Cover(region.y, region.height, decoded.height, decoded_segment.height);
  if (x.begin == 0 && x.end == columns && y.begin == 0 && y.end == rows) return false;

  // The bytes of `count` segments from `first` on, with the marker behind each.
  const auto bytes_of = [&](std::size_t first, std::size_t count) {
    const auto run = segments.subspan(first, count);
    return std::accumulate(run.begin(), run.end(), 2 * count);
  };
  std::size_t from = header->scan + bytes_of(0, y.begin * columns);
  const std::size_t most = header->scan + bytes_of(y.begin * columns, (y.end - y.begin) * columns);
  if (from + most - header->scan > record.payload.size()) return false;
  if (bytes_.size() < most) bytes_.resize(most);

  std::byte* out = bytes_.data();
  std::memcpy(out, record.payload.data(), header->scan);
  picture_ = {std::min(all.width, static_cast<int>(x.end) * segment.width) -
                  static_cast<int>(x.begin) * segment.width,
              std::min(all.height, static_cast<int>(y.end) * segment.height) -
                  static_cast<int>(y.begin) * segment.height};
  PutWord(out + header->frame + 5, picture_.height);
  PutWord(out + header->frame + 7, picture_.width);
  out += header->scan;
  unsigned marker = 0;
  for (std::size_t row = y.begin; row < y.end; ++row) {
    const std::size_t first = row * columns;
    const std::size_t before = bytes_of(first, x.begin);
    const std::size_t bytes = bytes_of(first + x.begin, x.end - x.begin);
    std::memcpy(out, record.payload.data() + from + before, bytes);
    for (std::size_t column = x.begin; column < x.end; ++column) {
      out += segments[first + column];
      // Where no marker stands the index is not that of the picture.
      if (out[0] != std::byte{0xFF}) return false;
      out[1] = static_cast<std::byte>(kRst0 + marker++ % 8);
      out += 2;
    }
    from += bytes_of(first, columns);
  }
  out[-1] = static_cast<std::byte>(kEoi);
  size_ = static_cast<std::size_t>(out - bytes_.data());
  region_ = {region.x - static_cast<int>(x.begin) * decoded_segment.width,
             region.y - static_cast<int>(y.begin) * decoded_segment.height, region.width,
             region.height};
  return true;
}

}  // namespace millrace::stages
