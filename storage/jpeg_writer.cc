#include "storage/jpeg_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

#include "base/check.h"

namespace millrace::storage {
namespace {

static_assert(std::endian::native == std::endian::little);

// Tokens of larger pictures are made twice rather than kept: 32 MiB at most.
constexpr std::size_t kMostBlocksKept = std::size_t{1} << 17;

// A larger buffer is given back when the next picture does not need it.
constexpr std::size_t kMostBytesKept = std::size_t{1} << 24;

// More than any header takes.
constexpr std::size_t kMostHeaderBytes = 2048;

constexpr std::uint8_t kSof0 = 0xC0;
constexpr std::uint8_t kSof1 = 0xC1;
constexpr std::uint8_t kDht = 0xC4;
constexpr std::uint8_t kRst0 = 0xD0;
constexpr std::uint8_t kSoi = 0xD8;
constexpr std::uint8_t kEoi = 0xD9;
constexpr std::uint8_t kSos = 0xDA;
constexpr std::uint8_t kDqt = 0xDB;
constexpr std::uint8_t kDri = 0xDD;
constexpr std::uint8_t kApp0 = 0xE0;
constexpr std::uint8_t kApp14 = 0xEE;

// Marker segments, into memory that has room for them.
class HeaderWriter {
 public:
  explicit HeaderWriter(std::byte* out) : out_(out) {}

  void Byte(std::size_t value) { *out_++ = static_cast<std::byte>(value); }
  void Word(std::size_t value) {
    Byte(value >> 8);
    Byte(value);
  }
  void Text(std::string_view text) {
    for (const char c : text) Byte(static_cast<unsigned char>(c));
  }
  void Marker(std::uint8_t code) {
    Byte(0xFF);
    Byte(code);
  }
  void BeginSegment(std::uint8_t code) {
    Marker(code);
    length_ = out_;
    Word(0);
  }
  void EndSegment() {
    std::byte* end = out_;
    out_ = length_;
    Word(static_cast<std::size_t>(end - length_));
    out_ = end;
  }

  std::byte* position() const { return out_; }

 private:
  std::byte* out_;
  std::byte* length_ = nullptr;
};

// Bits of a scan: 0xFF is followed by a zero byte, and a segment is filled up with ones.
class BitWriter {
 public:
  explicit BitWriter(std::byte* out) : out_(out) {}

  // The lower `length` bits of `bits`, at most 63; the others are 0.
  void Put(std::uint64_t bits, std::uint32_t length) {
    free_ -= static_cast<int>(length);
    if (free_ >= 0) {
      pending_ = pending_ << length | bits;
      return;
    }
    const int over = -free_;
    Flush(pending_ << (length - static_cast<std::uint32_t>(over)) | bits >> over);
    free_ += 64;
    pending_ = bits;  // those written already leave at the top
  }

  // Ends a segment.
  void Align() {
    const auto padding = static_cast<std::uint32_t>(free_ % 8);
    Put((1u << padding) - 1, padding);
    for (int left = 64 - free_; left > 0; left -= 8) {
      PutByte(static_cast<std::byte>(pending_ >> (left - 8)));
    }
    pending_ = 0;
    free_ = 64;
  }

  void PutMarker(std::uint8_t code) {
    *out_++ = std::byte{0xFF};
    *out_++ = static_cast<std::byte>(code);
  }

  std::byte* position() const { return out_; }

 private:
  void PutByte(std::byte byte) {
    *out_++ = byte;
    if (byte == std::byte{0xFF}) *out_++ = std::byte{0};
  }

  void Flush(std::uint64_t bits) {
    constexpr std::uint64_t kOnes = 0x0101010101010101;
    // A byte of 0xFF makes its top bit vanish by adding one; so may others, which does no harm.
    if ((bits & (kOnes << 7) & ~(bits + kOnes)) == 0) {
      const std::uint64_t big_endian = __builtin_bswap64(bits);
      std::memcpy(out_, &big_endian, sizeof big_endian);
      out_ += sizeof big_endian;
      return;
    }
    for (int shift = 56; shift >= 0; shift -= 8) PutByte(static_cast<std::byte>(bits >> shift));
  }

  std::byte* out_;
  std::uint64_t pending_ = 0;  // its lower 64 - free_ bits
  int free_ = 64;
};

void PutTokens(std::span<const JpegToken> tokens,
               const std::array<TokenCode, kNumTokenKinds>& codes, BitWriter* out) {
  BitWriter writer = *out;  // a copy stays in registers
  const auto bits = [&](JpegToken token) {
    return std::uint64_t{codes[TokenKind(token)].code | TokenBits(token)};
  };
  const auto length = [&](JpegToken token) { return codes[TokenKind(token)].length; };
  std::size_t i = 0;
  for (; i + 1 < tokens.size(); i += 2) {
    const std::uint32_t second = length(tokens[i + 1]);
    writer.Put(bits(tokens[i]) << second | bits(tokens[i + 1]), length(tokens[i]) + second);
  }
  if (i < tokens.size()) writer.Put(bits(tokens[i]), length(tokens[i]));
  *out = writer;
}

}  // namespace

// Writes the scan into memory that has room for it, segment by segment.
class JpegWriter::Scan {
 public:
  Scan(std::byte* out, std::uint32_t segment_mcus, std::vector<std::size_t>* segment_bytes)
      : out_(out), segment_(out), has_markers_(segment_mcus != 0), segment_bytes_(*segment_bytes) {}

  void Add(const JpegTokens& tokens, const std::array<TokenCode, kNumTokenKinds>& codes) {
    std::size_t begin = 0;
    for (const std::size_t end : tokens.ends) {
      if (has_markers_ && !segment_bytes_.empty()) {
        out_.PutMarker(static_cast<std::uint8_t>(kRst0 + (segment_bytes_.size() - 1) % 8));
        segment_ = out_.position();
      }
      PutTokens(tokens.tokens.subspan(begin, end - begin), codes, &out_);
      if (has_markers_) EndSegment();
      begin = end;
    }
  }

  // Where the picture ends.
  std::byte* Finish() {
    if (!has_markers_) EndSegment();
    out_.PutMarker(kEoi);
    return out_.position();
  }

 private:
  void EndSegment() {
    out_.Align();
    segment_bytes_.push_back(static_cast<std::size_t>(out_.position() - segment_));
  }

  BitWriter out_;
  std::byte* segment_;
  bool has_markers_;
  std::vector<std::size_t>& segment_bytes_;
};

bool JpegWriter::Write(const JpegFrame& frame, std::uint32_t segment_mcus) {
  const std::uint32_t rows = frame.mcu_rows();
  const std::size_t blocks = std::size_t{rows} * frame.mcus_per_row() * frame.blocks_in_mcu();
  const bool keeps_tokens = blocks <= kMostBlocksKept;
  size_ = 0;
  tokenizer_.Begin(frame, segment_mcus);
  for (std::uint32_t row = 0; row < rows; ++row) {
    if (!keeps_tokens) tokenizer_.Clear();
    tokenizer_.AddRow(row);
  }
  if (!tokenizer_.representable()) return false;
  if (keeps_tokens) {
    Write(frame, segment_mcus, tokenizer_.tokens());
    return true;
  }
  Scan scan(Begin(frame, segment_mcus, tokenizer_.tokens().counts), segment_mcus, &segment_bytes_);
  tokenizer_.Begin(frame, segment_mcus);
  for (std::uint32_t row = 0; row < rows; ++row) {
    tokenizer_.Clear();
    tokenizer_.AddRow(row);
    scan.Add(tokenizer_.tokens(), codes_);
  }
  size_ = static_cast<std::size_t>(scan.Finish() - buffer_.get());
  return true;
}

void JpegWriter::Write(const JpegFrame& frame, std::uint32_t segment_mcus,
                       const JpegTokens& tokens) {
  Scan scan(Begin(frame, segment_mcus, tokens.counts), segment_mcus, &segment_bytes_);
  scan.Add(tokens, codes_);
  size_ = static_cast<std::size_t>(scan.Finish() - buffer_.get());
}

// Writes all that comes before the scan; returns where the scan begins.
std::byte* JpegWriter::Begin(const JpegFrame& frame, std::uint32_t segment_mcus, Counts counts) {
  MILLRACE_CHECK(frame.blocks_in_mcu() <= kMostBlocksInMcu);
  segment_bytes_.clear();
  MakeCodes(counts);
  const std::size_t mcus = std::size_t{frame.mcu_rows()} * frame.mcus_per_row();
  Reserve(counts, segment_mcus == 0 ? 1 : mcus / segment_mcus);
  return WriteHeader(frame, segment_mcus, buffer_.get());
}

void JpegWriter::MakeCodes(Counts counts) {
  for (std::size_t table = 0; table < kNumCodeTables; ++table) {
    const HuffmanCode code = MakeHuffmanCode(counts.subspan(256 * table, 256));
    for (std::size_t symbol = 0; symbol < 256; ++symbol) {
      const std::uint32_t bits_to_follow = symbol % 16;
      codes_[256 * table + symbol] = {.code = std::uint32_t{code.code[symbol]} << bits_to_follow,
                                      .length = code.length[symbol] + bits_to_follow};
    }
    tables_[table] = code;
  }
}

// Makes room for the picture: the exact number of bits is known, and at worst each byte is 0xFF and
// followed by a zero.
void JpegWriter::Reserve(Counts counts, std::size_t num_segments) {
  std::size_t bits = 0;
  for (std::size_t kind = 0; kind < kNumTokenKinds; ++kind) {
    bits += std::size_t{counts[kind]} * codes_[kind].length;
  }
  const std::size_t bytes = kMostHeaderBytes + 2 * (bits / 8 + num_segments) + 2 * num_segments + 2;
  if (bytes <= capacity_ && capacity_ <= std::max(kMostBytesKept, 4 * bytes)) return;
  buffer_.reset();
  capacity_ = bytes + bytes / 4;
  buffer_ = std::make_unique_for_overwrite<std::byte[]>(capacity_);
}

std::byte* JpegWriter::WriteHeader(const JpegFrame& frame, std::uint32_t segment_mcus,
                                   std::byte* out) const {
  HeaderWriter header(out);
  header.Marker(kSoi);
  if (frame.color == JpegColor::kRgb) {
    header.BeginSegment(kApp14);
    header.Text("Adobe");
    header.Word(100);  // version
    header.Word(0);
    header.Word(0);
    header.Byte(0);  // no transform: RGB
  } else {
    header.BeginSegment(kApp0);
    header.Text(std::string_view("JFIF\0", 5));
    header.Word(0x0101);  // version 1.1
    header.Byte(0);       // densities are a ratio of sides
    header.Word(1);
    header.Word(1);
    header.Word(0);  // no thumbnail
  }
  header.EndSegment();

  // One table for all planes that have the same.
  std::vector<std::size_t> first_with_table;
  std::vector<std::size_t> table_of_plane;
  bool is_baseline = true;
  header.BeginSegment(kDqt);
  for (std::size_t i = 0; i < frame.planes.size(); ++i) {
    const auto& quantizers = frame.planes[i].quantizers;
    const auto known = std::find_if(
        first_with_table.begin(), first_with_table.end(),
        [&](std::size_t plane) { return frame.planes[plane].quantizers == quantizers; });
    table_of_plane.push_back(static_cast<std::size_t>(known - first_with_table.begin()));
    if (known != first_with_table.end()) continue;
    const bool wide = std::any_of(quantizers.begin(), quantizers.end(),
                                  [](std::uint16_t quantizer) { return quantizer > 255; });
    is_baseline = is_baseline && !wide;
    header.Byte((wide ? 0x10 : 0) | first_with_table.size());
    for (const std::uint8_t natural : kNaturalPosition) {
      if (wide) {
        header.Word(quantizers[natural]);
      } else {
        header.Byte(quantizers[natural]);
      }
    }
    first_with_table.push_back(i);
  }
  header.EndSegment();

  // Names that mean the same colours to decoders that pass over the markers above.
  const std::string_view names = frame.color == JpegColor::kRgb ? "RGB" : "\1\2\3";
  header.BeginSegment(is_baseline ? kSof0 : kSof1);
  header.Byte(8);  // bits per sample
  header.Word(frame.height);
  header.Word(frame.width);
  header.Byte(frame.planes.size());
  for (std::size_t i = 0; i < frame.planes.size(); ++i) {
    header.Byte(static_cast<unsigned char>(names[i]));
    header.Byte(frame.planes[i].h << 4 | frame.planes[i].v);
    header.Byte(table_of_plane[i]);
  }
  header.EndSegment();

  header.BeginSegment(kDht);
  const std::size_t tables = frame.color == JpegColor::kYcc ? kNumCodeTables : kNumCodeTables / 2;
  for (std::size_t table = 0; table < tables; ++table) {
    header.Byte((table % 2) << 4 | table / 2);
    for (const std::uint8_t length : tables_[table].lengths) header.Byte(length);
    for (const std::uint8_t symbol : tables_[table].symbols) header.Byte(symbol);
  }
  header.EndSegment();

  if (segment_mcus != 0) {
    header.BeginSegment(kDri);
    header.Word(segment_mcus);
    header.EndSegment();
  }

  header.BeginSegment(kSos);
  header.Byte(frame.planes.size());
  for (std::size_t i = 0; i < frame.planes.size(); ++i) {
    header.Byte(static_cast<unsigned char>(names[i]));
    header.Byte(UsesChromaTables(frame.color, i) ? 0x11 : 0x00);
  }
  header.Byte(0);
  header.Byte(kBlockSize - 1);
  header.Byte(0);
  header.EndSegment();
  return header.position();
}

}  // namespace millrace::storage
