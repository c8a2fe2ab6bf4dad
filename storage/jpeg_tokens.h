// The content of a JPEG as what an entropy coder writes: a token for each Huffman code, so that
// codes can be made for what there is before anything is written.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "storage/jpeg_frame.h"

namespace millrace::storage {

// One Huffman code or two, and the bits that follow the last of them: the kind of token in bits
// 0..12, the bits to follow in 16..30.
using JpegToken = std::uint32_t;

// Pictures of so many blocks have all their tokens in memory, at most 32 MiB; those of larger ones
// are made row by row and twice.
inline constexpr std::size_t kMostBlocksKept = std::size_t{1} << 17;

// Code tables: of DC and AC for the first plane, of DC and AC for the planes of chroma.
inline constexpr std::size_t kNumCodeTables = 4;
// The kinds of token that are one code: kNumCodeTables tables of 256 symbols. As many bits follow
// as the lower four bits of the symbol say.
inline constexpr std::size_t kNumSymbolKinds = kNumCodeTables * 256;
// Of all kinds. Those behind kNumSymbolKinds stand for phrases.
inline constexpr std::size_t kMostTokenKinds = std::size_t{1} << 13;

constexpr std::size_t TokenKind(JpegToken token) { return token % kMostTokenKinds; }
constexpr std::uint32_t TokenBits(JpegToken token) { return token >> 16; }

// Two symbols, by their kinds, and the bits that follow the first.
struct JpegPhrase {
  std::uint16_t first = 0;
  std::uint16_t second = 0;
  std::uint16_t first_value = 0;
};

// What is added to a symbol for its code table.
inline constexpr JpegToken kAcTable = 256;
inline constexpr JpegToken kChromaTables = 512;
// Symbols without a value.
inline constexpr JpegToken kEndOfBlock = 0x00;
inline constexpr JpegToken kSixteenZeros = 0xF0;

inline constexpr std::size_t kMostTokensOfBlock = 64;

// The token of `value` in the first code table and after no zeros; its size in the lower four bits.
constexpr JpegToken ValueToken(std::int32_t value) {
  const auto sign = static_cast<std::uint32_t>(value >> 31);  // all ones when negative
  const std::uint32_t magnitude = (static_cast<std::uint32_t>(value) ^ sign) - sign;
  const auto size = static_cast<std::uint32_t>(std::bit_width(magnitude));
  const std::uint32_t bits = (static_cast<std::uint32_t>(value) + sign) & ((1u << size) - 1);
  return bits << 16 | size;
}

// Tokens in the order of the scan; where each segment ends in them (without markers, where each MCU
// row does); how often each kind of token came; what the kinds behind kNumSymbolKinds stand for.
// Views what whoever made them holds.
struct JpegTokens {
  std::span<const JpegToken> tokens;
  std::span<const std::size_t> ends;
  std::span<const std::uint32_t> counts;  // kNumSymbolKinds + phrases.size()
  std::span<const JpegPhrase> phrases;
};

// The code tables that a plane uses: the luma's, or those of chroma.
constexpr bool UsesChromaTables(JpegColor color, std::size_t plane) {
  return color == JpegColor::kYcc && plane > 0;
}

// Makes the tokens of one picture after the other, row by row. Memory: those of the rows since the
// last Clear(), 4 bytes each and up to 64 a block, and it is kept. One thread.
class JpegTokenizer {
 public:
  // Begins a picture, whose interleaved scan falls into segments of `segment_mcus` MCUs with a
  // restart marker between them; 0: it is one segment. `frame` must outlive the last AddRow().
  // REQUIRES: segment_mcus divides frame.mcus_per_row()
  void Begin(const JpegFrame& frame, std::uint32_t segment_mcus);

  // Adds the MCU row `row`, one after the other from 0. To go through the picture again, begin it
  // again.
  void AddRow(std::uint32_t row);

  // The tokens since the last Clear(), with the counts of all since Begin().
  JpegTokens tokens();
  void Clear();

  // Whether all coefficients since Begin() fit into tokens: JPEG has no code for -32768, nor for a
  // step of 32768 between two DC coefficients.
  bool representable() const { return !has_overflow_; }

 private:
  const JpegFrame* frame_ = nullptr;
  std::uint32_t segment_mcus_ = 0;
  std::uint32_t mcus_per_row_ = 0;
  std::vector<std::int16_t> last_dc_;  // by plane
  std::vector<JpegToken> tokens_;      // the first num_tokens_ of them
  std::size_t num_tokens_ = 0;
  std::vector<std::size_t> ends_;
  std::array<std::array<std::uint32_t, kNumSymbolKinds>, 2> counts_{};  // to be added up
  std::array<std::uint32_t, kNumSymbolKinds> sums_{};
  bool has_overflow_ = false;
};

}  // namespace millrace::storage
