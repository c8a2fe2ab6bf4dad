// Finds the Huffman codes of a JPEG at the beginning of the bits that follow, most of them in one
// step.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace::storage {

// A code as a DHT segment holds it: how many codes there are of 1, 2, ... 16 bits, and their
// symbols in the order of the codes.
struct HuffmanTable {
  std::array<std::uint8_t, 16> lengths{};
  std::array<std::uint8_t, 256> symbols{};
};

class HuffmanDecoder {
 public:
  // False when libjpeg would refuse the table: more than 256 codes, more than there are of a
  // length, or one of all ones.
  bool Make(const HuffmanTable& table);

  // What the bits begin with, as the upper bits of `window`; 16 of them decide. Length 0: no code.
  struct Found {
    std::uint32_t entry;
    std::uint32_t code_bits() const { return entry >> 16; }
    // Of the code, and of the bits to follow that the lower half of the symbol counts.
    std::uint32_t all_bits() const { return entry & 0xFF; }
    std::uint32_t symbol() const { return entry >> 8 & 0xFF; }
  };
  Found Find(std::uint64_t window) const {
    const Found found{lookup_[window >> (64 - kLookupBits)]};
    return found.entry != 0 ? found : FindLong(static_cast<std::uint32_t>(window >> 48));
  }

 private:
  // Longer codes are rare. A table of 4 bytes an entry leaves room in a first-level cache of 32 KiB
  // for the others that a picture has.
  static constexpr std::uint32_t kLookupBits = 10;

  Found FindLong(std::uint32_t bits) const;

  std::array<std::uint32_t, std::size_t{1} << kLookupBits> lookup_{};  // 0: a longer code, or none
  // By length: the first 16 bits that are above all codes of it, and what to add to such a code for
  // the place of its symbol.
  std::array<std::uint32_t, 17> limit_{};
  std::array<std::int32_t, 17> offset_{};
  std::array<std::uint8_t, 256> symbols_{};
};

}  // namespace millrace::storage
