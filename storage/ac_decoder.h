// Finds the symbols of a block's AC coefficients, mostly two of them in one step, and as tokens:
// what bounds the speed of a decoder is the way from one symbol to the bits of the next.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "storage/huffman_decoder.h"
#include "storage/jpeg_tokens.h"

namespace millrace::storage {

class AcDecoder {
 public:
  // Enough for most pairs: what is looked at are the code and the value of the first symbol and the
  // code of the second.
  static constexpr std::uint32_t kLookupBits = 10;
  static constexpr std::size_t kPhrases = std::size_t{1} << kLookupBits;

  // For planes whose AC symbols are written with the code table `to_table`, a part of each token.
  // The phrases of its tokens are those from `first_phrase` on. False as HuffmanDecoder::Make().
  bool Make(const HuffmanTable& table, JpegToken to_table, std::size_t first_phrase);

  // What the bits begin with.
  struct Found {
    std::uint32_t entry;

    // The token without the value at its end.
    JpegToken token() const { return entry & (kMostTokenKinds - 1); }
    std::uint32_t value_size() const { return entry >> 13 & 0xF; }  // [bits]
    std::uint32_t all_bits() const { return entry >> 17 & 0x1F; }
    // How many positions in zigzag order the coefficients take. More than a block has when it
    // cannot be told in one step what follows: then Find() tells.
    std::uint32_t positions() const { return entry >> 22 & 0x3F; }
    bool ends_block() const { return (entry >> 28) != 0; }
  };
  Found Lookup(std::uint64_t window) const { return {lookup_[window >> (64 - kLookupBits)]}; }

  // One symbol, whatever it is.
  HuffmanDecoder::Found Find(std::uint64_t window) const { return single_.Find(window); }

  const std::array<JpegPhrase, kPhrases>& phrases() const { return phrases_; }

 private:
  HuffmanDecoder single_;
  std::array<std::uint32_t, kPhrases> lookup_{};
  std::array<JpegPhrase, kPhrases> phrases_{};
};

}  // namespace millrace::storage
