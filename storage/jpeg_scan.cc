#include "storage/jpeg_scan.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "storage/jpeg_marker_codes.h"

namespace millrace::storage {
namespace {

constexpr std::uint32_t kLast = kBlockSize - 1;
constexpr std::uint32_t kWrong = kLast + 1;
constexpr std::uint32_t kSizes = 16;  // of values [bits]: 0 to 15

// The most that one block takes from an interval before its end is looked for, and what is read
// ahead of that.
constexpr std::size_t kPaddingBytes = kBlockSize * 31 / 8 + 2 * sizeof(std::uint64_t);

std::uint64_t LoadBigEndian(const std::uint8_t* from) {
  std::uint64_t value = 0;
  std::memcpy(&value, from, sizeof value);
  return std::endian::native == std::endian::little ? __builtin_bswap64(value) : value;
}

}  // namespace

// The bits of an interval from its beginning.
struct JpegScanReader::BitReader {
  const std::uint8_t* next;
  std::uint64_t window = 0;  // the bits that follow, from the top
  std::uint32_t count = 0;   // how many of them are there; below them are zeros or bits to come

  // Sees to it that 56 bits are there. Without a branch, which would go wrong too often.
  void Fill() {
    window |= LoadBigEndian(next) >> count;
    next += (63 - count) / 8;
    count |= 56;
  }
  void Skip(std::uint32_t bits) {
    window <<= bits;
    count -= bits;
  }
  // Bytes from which bits were taken.
  std::size_t BytesUsed(const std::uint8_t* begin) const {
    return static_cast<std::size_t>(next - begin) - count / 8;
  }
};

// Where tokens go.
struct JpegScanReader::Output {
  JpegToken* next;
  std::uint32_t* counts;

  void Add(JpegToken token) {
    ++counts[TokenKind(token)];
    *next++ = token;
  }
};

struct JpegScanReader::Plane {
  const HuffmanDecoder* dc;
  const AcDecoder* ac;
  JpegToken table;
  std::uint32_t h, v, width_blocks, height_blocks;
  std::int32_t last_dc;          // of the scan
  std::int32_t last_written_dc;  // of the segment
};

namespace {

// The last `size` of the first `end` bits of a window.
std::uint32_t ValueBits(std::uint64_t window, std::uint32_t end, std::uint32_t size) {
  return static_cast<std::uint32_t>(window >> (64 - end)) & ((1u << size) - 1);
}

}  // namespace

// Reads the step from one DC coefficient to the next. False: there is no such code.
bool JpegScanReader::ReadDcStep(const HuffmanDecoder& decoder, BitReader* in, std::int32_t* step) {
  in->Fill();
  const auto found = decoder.Find(in->window);
  if (found.entry == 0) [[unlikely]]
    return false;
  const std::uint32_t size = found.symbol();
  const auto bits = static_cast<std::int32_t>(ValueBits(in->window, found.all_bits(), size));
  // Values of a size that do not begin with a one are negative.
  const std::int32_t is_negative = (bits - (1 << size >> 1)) >> 31;  // all ones or 0
  *step = bits + (is_negative & (1 - (1 << size)));
  in->Skip(found.all_bits());
  return true;
}

// Reads a coefficient with all the zeros before it, or the end of the block. Returns the position
// in zigzag order that the block comes to from `last`, kLast when it is done; more than that where
// there are symbols that are not there, that no encoder writes, or coefficients behind its end.
std::uint32_t JpegScanReader::ReadCoefficient(const AcDecoder& decoder, JpegToken table,
                                              BitReader* in, Output* out, std::uint32_t last) {
  for (bool follows_zeros = false;; follows_zeros = true) {
    in->Fill();
    const auto found = decoder.Find(in->window);
    if (found.entry == 0) return kWrong;
    const std::uint32_t symbol = found.symbol();
    const std::uint32_t size = symbol % 16;
    out->Add(table | symbol | ValueBits(in->window, found.all_bits(), size) << 16);
    in->Skip(found.all_bits());
    last += symbol / 16 + 1;
    if (size != 0) return last;
    if (symbol == kEndOfBlock) return follows_zeros ? kWrong : kLast;
    if (symbol != kSixteenZeros || last >= kLast) return kWrong;
  }
}

// Reads the AC coefficients of a block. False where there are others than ReadCoefficient() takes.
bool JpegScanReader::ReadAc(const AcDecoder& decoder, JpegToken table, BitReader* reader,
                            Output* output) {
  // Copies stay in registers, as long as nobody is told where they are.
  BitReader in = *reader;
  Output out = *output;
  std::uint32_t last = 0;
  do {
    in.Fill();
    const auto found = decoder.Lookup(in.window);
    const std::uint32_t after = last + found.positions();
    // What follows the last coefficient belongs to the next block.
    if (after >= kLast) [[unlikely]] {
      *reader = in;
      *output = out;
      last = ReadCoefficient(decoder, table, reader, output, last);
      in = *reader;
      out = *output;
      continue;
    }
    out.Add(found.token() | ValueBits(in.window, found.all_bits(), found.value_size()) << 16);
    in.Skip(found.all_bits());
    last = found.ends_block() ? kLast : after;
  } while (last < kLast);
  *reader = in;
  *output = out;
  return last == kLast;
}

bool JpegScanReader::MakePlanes(const JpegFrame& frame, const JpegScan& scan,
                                std::vector<Plane>* planes) {
  const std::size_t num_planes = frame.planes.size();
  dc_.resize(num_planes);
  ac_.resize(num_planes);
  phrases_.clear();
  for (std::size_t i = 0; i < num_planes; ++i) {
    const HuffmanTable& dc = scan.dc_tables[scan.planes[i].dc_table];
    const bool has_large_size = std::any_of(dc.symbols.begin(), dc.symbols.end(),
                                            [](std::uint8_t symbol) { return symbol >= kSizes; });
    if (has_large_size || !dc_[i].Make(dc)) return false;
    const JpegToken table = UsesChromaTables(frame.color, i) ? kChromaTables : 0;
    // The planes of chroma mostly share their table.
    std::size_t same = 0;
    while (same < i && (scan.planes[same].ac_table != scan.planes[i].ac_table ||
                        (*planes)[same].table != table)) {
      ++same;
    }
    if (same == i) {
      if (!ac_[i].Make(scan.ac_tables[scan.planes[i].ac_table], table | kAcTable,
                       phrases_.size())) {
        return false;
      }
      phrases_.insert(phrases_.end(), ac_[i].phrases().begin(), ac_[i].phrases().end());
    }
    planes->push_back({.dc = &dc_[i],
                       .ac = same == i ? &ac_[i] : (*planes)[same].ac,
                       .table = table,
                       .h = frame.planes[i].h,
                       .v = frame.planes[i].v,
                       .width_blocks = frame.planes[i].width_blocks,
                       .height_blocks = scan.planes[i].height_blocks,
                       .last_dc = 0,
                       .last_written_dc = 0});
  }
  counts_.assign(kNumSymbolKinds + phrases_.size(), 0);
  return true;
}

// Copies the data before the next marker. A byte of 0xFF is data when a zero follows, which is not.
bool JpegScanReader::TakeInterval() {
  if (interval_.size() < data_.size() + kPaddingBytes) {
    interval_.resize(data_.size() + kPaddingBytes);
  }
  std::uint8_t* out = interval_.data();
  const auto* from = reinterpret_cast<const std::uint8_t*>(data_.data());
  const std::uint8_t* end = from + data_.size();
  for (;;) {
    const auto* ones = static_cast<const std::uint8_t*>(
        std::memchr(from, 0xFF, static_cast<std::size_t>(end - from)));
    if (ones == nullptr || end - ones < 2) return false;
    const auto bytes = static_cast<std::size_t>(ones - from);
    std::memcpy(out, from, bytes);
    out += bytes;
    from = ones;
    if (ones[1] != 0) break;
    *out++ = 0xFF;
    from += 2;
  }
  interval_bytes_ = static_cast<std::size_t>(out - interval_.data());
  std::memset(out, 0, kPaddingBytes);
  data_ = data_.last(static_cast<std::size_t>(end - from));
  return true;
}

bool JpegScanReader::TakeMarker(std::uint8_t code) {
  if (data_.size() < 2 || data_[0] != std::byte{0xFF} || data_[1] != std::byte{code}) return false;
  data_ = data_.subspan(2);
  return true;
}

// Goes from one interval to the next, over the marker with the number of the first.
bool JpegScanReader::TakeNextInterval(std::uint32_t number) {
  return TakeMarker(static_cast<std::uint8_t>(kRst0 + number % 8)) && TakeInterval();
}

bool JpegScanReader::ReadBlock(Plane* plane, bool is_seen, BitReader* in, Output* output) {
  std::int32_t step = 0;
  if (!ReadDcStep(*plane->dc, in, &step)) return false;
  plane->last_dc += step;
  if (plane->last_dc != static_cast<std::int16_t>(plane->last_dc)) return false;
  const JpegToken ac_table = plane->table | kAcTable;
  Output out = is_seen ? *output : Output{unseen_.data(), unseen_counts_.data()};
  const std::int32_t written = plane->last_dc - plane->last_written_dc;
  // Coefficients of 16 bits may lie further apart, but no token says so.
  if (is_seen && std::abs(written) > std::numeric_limits<std::int16_t>::max()) return false;
  out.Add(ValueToken(written) | plane->table);
  if (!ReadAc(*plane->ac, ac_table, in, &out)) return false;
  if (is_seen) {
    plane->last_written_dc = plane->last_dc;
    *output = out;
  } else {
    // It completes an MCU outside of the picture, and is written as short as can be.
    output->Add(plane->table);
    output->Add(ac_table | kEndOfBlock);
  }
  return in->BytesUsed(interval_.data()) <= interval_bytes_;
}

bool JpegScanReader::ReadMcu(std::vector<Plane>* planes, std::uint32_t row, std::uint32_t mcu,
                             BitReader* in, Output* out) {
  for (Plane& plane : *planes) {
    for (std::uint32_t y = row * plane.v; y < (row + 1) * plane.v; ++y) {
      for (std::uint32_t x = mcu * plane.h; x < (mcu + 1) * plane.h; ++x) {
        const bool is_seen = x < plane.width_blocks && y < plane.height_blocks;
        if (!ReadBlock(&plane, is_seen, in, out)) return false;
      }
    }
  }
  return true;
}

bool JpegScanReader::Read(const JpegFrame& frame, const JpegScan& scan,
                          std::uint32_t segment_mcus) {
  const std::uint32_t mcus_per_row = frame.mcus_per_row();
  const std::uint32_t mcu_rows = frame.mcu_rows();
  MILLRACE_CHECK(segment_mcus > 0 && mcus_per_row % segment_mcus == 0);
  num_tokens_ = 0;
  ends_.clear();
  data_ = scan.data;
  const std::size_t row_blocks = std::size_t{mcus_per_row} * frame.blocks_in_mcu();
  std::vector<Plane> planes;
  if (row_blocks * mcu_rows > kMostBlocksKept || !MakePlanes(frame, scan, &planes) ||
      !TakeInterval()) {
    return false;
  }
  BitReader in{interval_.data()};
  const auto interval_is_used = [&] { return in.BytesUsed(interval_.data()) == interval_bytes_; };
  std::uint32_t interval = 0;
  std::uint32_t interval_mcus = 0;
  for (std::uint32_t row = 0; row < mcu_rows; ++row) {
    const std::size_t most = num_tokens_ + row_blocks * kMostTokensOfBlock;
    if (tokens_.size() < most) tokens_.resize(std::max(most, 2 * tokens_.size()));
    Output out{tokens_.data() + num_tokens_, counts_.data()};
    for (std::uint32_t mcu = 0; mcu < mcus_per_row; ++mcu) {
      if (scan.restart_interval != 0 && interval_mcus == scan.restart_interval) {
        if (!interval_is_used() || !TakeNextInterval(interval++)) return false;
        in = {interval_.data()};
        interval_mcus = 0;
        for (Plane& plane : planes) plane.last_dc = 0;
      }
      ++interval_mcus;
      if (mcu % segment_mcus == 0) {
        for (Plane& plane : planes) plane.last_written_dc = 0;
      }
      if (!ReadMcu(&planes, row, mcu, &in, &out)) return false;
      if ((mcu + 1) % segment_mcus == 0) {
        num_tokens_ = static_cast<std::size_t>(out.next - tokens_.data());
        ends_.push_back(num_tokens_);
      }
    }
  }
  return interval_is_used() && TakeMarker(kEoi);
}

}  // namespace millrace::storage
