#include "storage/jpeg_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "storage/jpeg_marker_codes.h"

namespace millrace::storage {
namespace {

static_assert(std::endian::native == std::endian::little);

// A larger buffer is given back when the next picture does not need it.
constexpr std::size_t kMostBytesKept = std::size_t{1} << 24;

// More than any header takes.
constexpr std::size_t kMostHeaderBytes = 2048;

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

// Writes the bits of one segment, without what is stuffed into them. Each token writes 8 bytes,
// most of them for the next to write over: whether a buffer is full would be a branch that goes
// wrong too often.
class BitWriter {
 public:
  explicit BitWriter(std::byte* out) : out_(out) {}

  // The lower `length` bits of `bits`, at most 56; the others are 0.
  void Put(std::uint64_t bits, std::uint32_t length) {
    // In two steps, as nothing can be shifted by 64.
    pending_ |= bits << (56 - length) << (8 - used_);
    const std::uint64_t big_endian = __builtin_bswap64(pending_);
    std::memcpy(out_, &big_endian, sizeof big_endian);
    used_ += length;
    out_ += used_ / 8;
    pending_ <<= used_ & 56;
    used_ %= 8;
  }

  // Fills up the last byte with ones. Returns where the segment ends.
  std::byte* Finish() {
    if (used_ != 0) Put((1u << (8 - used_)) - 1, 8 - used_);
    return out_;
  }

 private:
  std::byte* out_;
  std::uint64_t pending_ = 0;  // used_ bits at the top
  std::uint32_t used_ = 0;     // less than 8
};

void PutTokens(std::span<const JpegToken> tokens,
               const std::array<TokenCode, kMostTokenKinds>& codes, BitWriter* out) {
  BitWriter writer = *out;  // a copy stays in registers
  for (const JpegToken token : tokens) {
    const TokenCode& code = codes[TokenKind(token)];
    writer.Put(code.code | TokenBits(token), code.length);
  }
  *out = writer;
}

// Copies the bytes of a segment, with a zero behind each that is 0xFF. Returns where they end.
std::byte* Stuff(const std::byte* begin, const std::byte* end, std::byte* out) {
  while (begin != end) {
    const auto left = static_cast<std::size_t>(end - begin);
    const void* ones = std::memchr(begin, 0xFF, left);
    const std::size_t bytes =
        ones == nullptr ? left
                        : static_cast<std::size_t>(static_cast<const std::byte*>(ones) - begin) + 1;
    std::memcpy(out, begin, bytes);
    out += bytes;
    begin += bytes;
    if (ones != nullptr) *out++ = std::byte{0};
  }
  return out;
}

}  // namespace

// Writes the scan into memory that has room for it, segment by segment.
class JpegWriter::Scan {
 public:
  // What is in front of the scan lies in `writer`'s buffer up to `begin`.
  Scan(JpegWriter* writer, std::byte* begin, std::uint32_t segment_mcus)
      : writer_(*writer),
        out_(begin),
        raw_(writer->buffer_.get() + writer->raw_offset_),
        bits_(raw_),
        has_markers_(segment_mcus != 0) {}

  void Add(const JpegTokens& tokens) {
    std::size_t begin = 0;
    for (const std::size_t end : tokens.ends) {
      const std::size_t segments = writer_.segment_bytes_.size();
      if (has_markers_ && segments != 0) PutMarker(kRst0 + (segments - 1) % 8);
      PutTokens(tokens.tokens.subspan(begin, end - begin), writer_.codes_, &bits_);
      if (has_markers_) EndSegment();
      begin = end;
    }
  }

  void Finish() {
    if (!has_markers_) EndSegment();
    PutMarker(kEoi);
    writer_.size_ = static_cast<std::size_t>(out_ - writer_.buffer_.get());
  }

 private:
  void EndSegment() {
    std::byte* end = Stuff(raw_, bits_.Finish(), out_);
    writer_.segment_bytes_.push_back(static_cast<std::size_t>(end - out_));
    out_ = end;
    bits_ = BitWriter(raw_);
  }
  void PutMarker(std::size_t code) {
    *out_++ = std::byte{0xFF};
    *out_++ = static_cast<std::byte>(code);
  }

  JpegWriter& writer_;
  std::byte* out_;
  std::byte* raw_;  // where each segment begins before it is stuffed
  BitWriter bits_;
  bool has_markers_;
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
  Scan scan(this, Begin(frame, segment_mcus, tokenizer_.tokens()), segment_mcus);
  tokenizer_.Begin(frame, segment_mcus);
  for (std::uint32_t row = 0; row < rows; ++row) {
    tokenizer_.Clear();
    tokenizer_.AddRow(row);
    scan.Add(tokenizer_.tokens());
  }
  scan.Finish();
  return true;
}

void JpegWriter::Write(const JpegFrame& frame, std::uint32_t segment_mcus,
                       const JpegTokens& tokens) {
  Scan scan(this, Begin(frame, segment_mcus, tokens), segment_mcus);
  scan.Add(tokens);
  scan.Finish();
}

// Writes all that comes before the scan; returns where the scan begins.
std::byte* JpegWriter::Begin(const JpegFrame& frame, std::uint32_t segment_mcus,
                             const JpegTokens& tokens) {
  MILLRACE_CHECK(frame.blocks_in_mcu() <= kMostBlocksInMcu);
  segment_bytes_.clear();
  MakeCodes(tokens);
  const std::size_t mcus = std::size_t{frame.mcu_rows()} * frame.mcus_per_row();
  Reserve(tokens.counts, segment_mcus == 0 ? 1 : mcus / segment_mcus);
  return WriteHeader(frame, segment_mcus, buffer_.get());
}

void JpegWriter::MakeCodes(const JpegTokens& tokens) {
  const auto of_phrases = tokens.counts.subspan(kNumSymbolKinds);
  std::array<std::uint32_t, kNumSymbolKinds> counts{};
  std::copy_n(tokens.counts.begin(), kNumSymbolKinds, counts.begin());
  for (std::size_t i = 0; i < of_phrases.size(); ++i) {
    counts[tokens.phrases[i].first] += of_phrases[i];
    counts[tokens.phrases[i].second] += of_phrases[i];
  }
  for (std::size_t table = 0; table < kNumCodeTables; ++table) {
    const HuffmanCode code = MakeHuffmanCode(std::span(counts).subspan(256 * table, 256));
    for (std::size_t symbol = 0; symbol < 256; ++symbol) {
      const std::uint32_t bits_to_follow = symbol % 16;
      codes_[256 * table + symbol] = {.code = std::uint64_t{code.code[symbol]} << bits_to_follow,
                                      .length = code.length[symbol] + bits_to_follow};
    }
    tables_[table] = code;
  }
  for (std::size_t i = 0; i < of_phrases.size(); ++i) {
    if (of_phrases[i] == 0) continue;
    const JpegPhrase& phrase = tokens.phrases[i];
    const TokenCode& first = codes_[phrase.first];
    const TokenCode& second = codes_[phrase.second];
    codes_[kNumSymbolKinds + i] = {
        .code = (first.code | phrase.first_value) << second.length | second.code,
        .length = first.length + second.length};
  }
}

// Makes room for the picture: the exact number of bits is known, and at worst each byte is 0xFF and
// followed by a zero. Behind it comes the room for a segment before that.
void JpegWriter::Reserve(std::span<const std::uint32_t> counts, std::size_t num_segments) {
  std::size_t bits = 0;
  for (std::size_t kind = 0; kind < counts.size(); ++kind) {
    bits += std::size_t{counts[kind]} * codes_[kind].length;
  }
  raw_offset_ = kMostHeaderBytes + 2 * (bits / 8 + num_segments) + 2 * num_segments + 2;
  const std::size_t bytes = raw_offset_ + bits / 8 + 1 + sizeof(std::uint64_t);
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
