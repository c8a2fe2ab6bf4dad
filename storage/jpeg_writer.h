// Writes a baseline JPEG with Huffman codes made for it and, where wanted, restart markers whose
// places are known.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "storage/huffman_code.h"
#include "storage/jpeg_frame.h"
#include "storage/jpeg_tokens.h"

namespace millrace::storage {

// How a kind of token is written: at most 56 bits.
struct TokenCode {
  std::uint64_t code = 0;    // shifted by the bits that follow it
  std::uint32_t length = 0;  // of both together [bits]
};

// What JPEG allows in an MCU of an interleaved scan.
inline constexpr std::uint32_t kMostBlocksInMcu = 10;

// Writes one picture after the other; its memory is kept for the next. One thread.
//
// A file has SOI, JFIF or (for RGB) Adobe marker, DQT, SOF0 (SOF1 where a quantiser needs 16 bits),
// DHT, DRI (with restart markers), SOS, one interleaved scan, EOI; a pure function of what it is
// made from.
class JpegWriter {
 public:
  // Writes `frame` with a restart marker every `segment_mcus` MCUs, which must divide the MCUs of a
  // row, or without any (0). False, and no picture, when it cannot be said in Huffman codes: see
  // JpegTokenizer::representable(). REQUIRES: frame.blocks_in_mcu() <= kMostBlocksInMcu
  bool Write(const JpegFrame& frame, std::uint32_t segment_mcus);
  // The same from all tokens of the picture, made for this `segment_mcus`; the rows of the planes
  // of `frame` are not used.
  void Write(const JpegFrame& frame, std::uint32_t segment_mcus, const JpegTokens& tokens);

  // The picture; valid until the next Write().
  std::span<const std::byte> bytes() const { return {buffer_.get(), size_}; }
  // The length of each segment, its marker excluded [bytes]; without markers, of the whole scan.
  std::span<const std::size_t> segment_bytes() const { return segment_bytes_; }

 private:
  class Scan;

  void MakeCodes(const JpegTokens& tokens);
  void Reserve(std::span<const std::uint32_t> counts, std::size_t num_segments);
  std::byte* WriteHeader(const JpegFrame& frame, std::uint32_t segment_mcus, std::byte* out) const;
  std::byte* Begin(const JpegFrame& frame, std::uint32_t segment_mcus, const JpegTokens& tokens);

  JpegTokenizer tokenizer_;
  std::array<HuffmanCode, kNumCodeTables> tables_;
  std::array<TokenCode, kMostTokenKinds> codes_{};
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t raw_offset_ = 0;  // of the room for a segment without what is stuffed into it
  std::size_t size_ = 0;
  std::vector<std::size_t> segment_bytes_;
};

}  // namespace millrace::storage
