#include "stages/region/frame.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "storage/jpeg_marker_codes.h"

namespace millrace::stages::region {
namespace {

using Bytes = std::span<const std::byte>;

// libjpeg interpolates chroma along x from three samples a row on (jdsample.c).
constexpr int kLeastInterpolated = 3;

// libjpeg's JPEG_MAX_DIMENSION, beyond which it refuses a picture. [pixels]
constexpr int kMostSide = 65500;

unsigned At(Bytes bytes, std::size_t at) { return std::to_integer<unsigned>(bytes[at]); }
unsigned WordAt(Bytes bytes, std::size_t at) { return At(bytes, at) << 8 | At(bytes, at + 1); }

class Reader {
 public:
  explicit Reader(Bytes jpeg) : jpeg_(jpeg) {}

  std::optional<Frame> Read() {
    if (jpeg_.size() < 4 || WordAt(jpeg_, 0) != (0xFF00 | storage::kSoi)) return {};
    for (std::size_t at = 2; at + 4 <= jpeg_.size();) {
      if (At(jpeg_, at) != 0xFF) return {};
      const unsigned marker = At(jpeg_, at + 1);
      const std::size_t bytes = WordAt(jpeg_, at + 2);
      if (bytes < 2 || at + 2 + bytes > jpeg_.size()) return {};
      const Bytes body = jpeg_.subspan(at + 4, bytes - 2);
      at += 2 + bytes;
      if (!ReadSegment(marker, body)) return {};
      if (marker != storage::kSos) continue;
      if (!Complete()) return {};
      frame_.scan = at;
      return frame_;
    }
    return {};
  }

 private:
  bool ReadSegment(unsigned marker, Bytes body) {
    switch (marker) {
      case storage::kApp0:
        return ReadJfif(body);
      case storage::kDqt:
        return ReadQuantizers(body);
      case storage::kSof0:
      case storage::kSof1:
        return ReadSize(body);
      case storage::kDht:
        return ReadCodes(body);
      case storage::kDri:
        if (body.size() != 2) return false;
        frame_.restart_interval = WordAt(body, 0);
        return true;
      case storage::kSos:
        return ReadScan(body);
      default:
        return false;
    }
  }

  // With it three planes are YCbCr, whatever their names.
  bool ReadJfif(Bytes body) {
    constexpr std::string_view kName("JFIF\0", 5);
    has_jfif_ = body.size() == 14 && std::memcmp(body.data(), kName.data(), kName.size()) == 0;
    return has_jfif_;
  }

  bool ReadQuantizers(Bytes body) {
    constexpr std::size_t kBytes = 1 + storage::kBlockSize;
    if (body.size() % kBytes != 0) return false;
    for (; !body.empty(); body = body.subspan(kBytes)) {
      const unsigned number = At(body, 0);
      if (number >= quantizers_.size()) return false;
      for (std::size_t i = 0; i < storage::kBlockSize; ++i) {
        const unsigned quantizer = At(body, 1 + i);
        if (quantizer == 0) return false;
        quantizers_[number][storage::kNaturalPosition[i]] = static_cast<std::uint16_t>(quantizer);
      }
      has_quantizers_[number] = true;
    }
    return true;
  }

  bool ReadSize(Bytes body) {
    constexpr std::size_t kFixedBytes = 6;
    if (frame_.num_planes != 0 || body.size() < kFixedBytes || At(body, 0) != 8) return false;
    frame_.picture = {static_cast<int>(WordAt(body, 3)), static_cast<int>(WordAt(body, 1))};
    const std::size_t planes = At(body, 5);
    if ((planes != 1 && planes != 3) || body.size() != kFixedBytes + 3 * planes) return false;
    for (std::size_t i = 0; i < planes; ++i) {
      const Bytes plane = body.subspan(kFixedBytes + 3 * i, 3);
      // As the re-packer names them; equal names would leave open which plane is which.
      if (At(plane, 0) != i + 1) return false;
      frame_.planes[i].h = static_cast<int>(At(plane, 1) >> 4);
      frame_.planes[i].v = static_cast<int>(At(plane, 1) & 15);
      quantizers_of_[i] = At(plane, 2);
    }
    frame_.num_planes = static_cast<int>(planes);
    return true;
  }

  bool ReadCodes(Bytes body) {
    constexpr std::size_t kFixedBytes = 17;
    while (!body.empty()) {
      if (body.size() < kFixedBytes) return false;
      const unsigned kind = At(body, 0) >> 4;
      const unsigned number = At(body, 0) & 15;
      if (kind > 1 || number > 1) return false;
      storage::HuffmanTable& table = (kind == 0 ? frame_.dc_tables : frame_.ac_tables)[number];
      table = {};
      std::size_t symbols = 0;
      for (std::size_t i = 0; i < table.lengths.size(); ++i) {
        table.lengths[i] = static_cast<std::uint8_t>(At(body, 1 + i));
        symbols += table.lengths[i];
      }
      if (symbols > table.symbols.size() || body.size() < kFixedBytes + symbols) return false;
      std::memcpy(table.symbols.data(), body.data() + kFixedBytes, symbols);
      has_codes_[kind][number] = true;
      body = body.subspan(kFixedBytes + symbols);
    }
    return true;
  }

  bool ReadScan(Bytes body) {
    const auto planes = static_cast<std::size_t>(frame_.num_planes);
    if (planes == 0 || body.size() != 4 + 2 * planes || At(body, 0) != planes) return false;
    for (std::size_t i = 0; i < planes; ++i) {
      const unsigned tables = At(body, 2 + 2 * i);
      frame_.planes[i].dc_table = tables >> 4;
      frame_.planes[i].ac_table = tables & 15;
      if (At(body, 1 + 2 * i) != i + 1 || tables >> 4 > 1 || (tables & 15) > 1 ||
          !has_codes_[0][tables >> 4] || !has_codes_[1][tables & 15]) {
        return false;
      }
    }
    const Bytes rest = body.last(3);
    return At(rest, 0) == 0 && At(rest, 1) == storage::kBlockSize - 1 && At(rest, 2) == 0;
  }

  // What follows from all segments together. False where it is none of ours.
  bool Complete() {
    PlaneFrame& luma = frame_.planes[0];
    // A single plane is not interleaved, and its factors mean nothing.
    if (frame_.num_planes == 1 && (luma.h != 1 || luma.v != 1)) return false;
    for (int i = 1; i < frame_.num_planes; ++i) {
      const PlaneFrame& chroma = frame_.planes[static_cast<std::size_t>(i)];
      if (chroma.h != 1 || chroma.v != 1) return false;
    }
    if (!has_jfif_ || luma.h < 1 || luma.h > 2 || luma.v < 1 || luma.v > 2) return false;
    const auto [width, height] = frame_.picture;
    if (width == 0 || height == 0 || width > kMostSide || height > kMostSide) return false;
    frame_.mcu = {8 * luma.h, 8 * luma.v};
    for (int i = 0; i < frame_.num_planes; ++i) {
      PlaneFrame& plane = frame_.planes[static_cast<std::size_t>(i)];
      const unsigned quantizers = quantizers_of_[static_cast<std::size_t>(i)];
      if (quantizers >= quantizers_.size() || !has_quantizers_[quantizers]) return false;
      plane.quantizers = quantizers_[quantizers];
      const int across = luma.h / plane.h;
      const int down = luma.v / plane.v;
      plane.samples = {(frame_.picture.width + across - 1) / across,
                       (frame_.picture.height + down - 1) / down};
      if (across == 2 && plane.samples.width < kLeastInterpolated) return false;
    }
    return true;
  }

  Bytes jpeg_;
  Frame frame_;
  bool has_jfif_ = false;
  std::array<std::array<std::uint16_t, storage::kBlockSize>, 4> quantizers_{};
  std::array<bool, 4> has_quantizers_{};
  std::array<std::array<bool, 2>, 2> has_codes_{};
  std::array<unsigned, 3> quantizers_of_{};
};

}  // namespace

std::optional<Frame> ReadFrame(std::span<const std::byte> jpeg) { return Reader(jpeg).Read(); }

}  // namespace millrace::stages::region
