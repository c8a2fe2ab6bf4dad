// A Huffman code as a table that gives most coefficients in one step: how many bits they take, how
// many zeros come before, and their value.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "storage/huffman_decoder.h"

namespace millrace::stages::region {

// What the bits of a segment begin with.
struct Coefficient {
  std::uint32_t entry = 0;

  // Of a block's end, in place of zeros: leads behind any block from any position in it.
  static constexpr std::uint32_t kEndOfBlock = 128;

  static constexpr Coefficient Of(std::uint32_t bits, std::uint32_t zeros, std::int32_t value) {
    return {bits | zeros << 8 | static_cast<std::uint32_t>(value) << 16};
  }
  std::uint32_t bits() const { return entry & 0xFF; }        // of code and value, 1 to 31
  std::uint32_t zeros() const { return entry >> 8 & 0xFF; }  // before it, in zigzag order
  std::int16_t value() const { return static_cast<std::int16_t>(entry >> 16); }

  // Whether that is all of it. Where it is not, more bits decide than are looked at: those of the
  // value, whose size then is in its place, or, if nothing else is set, those of the code.
  bool is_whole() const { return static_cast<std::int8_t>(entry) > 0; }
  static constexpr std::uint32_t kWithoutValue = 128;  // added to the bits
};

enum class CodeKind : std::uint8_t { kDc, kAc };

// False for a code that libjpeg would refuse: more symbols than there are or than fit into their
// lengths, one of all ones, or a step between DC coefficients of more than 15 bits.
bool IsSoundCode(const storage::HuffmanTable& table, CodeKind kind);

// Immutable once made. Sixteen zeros are fifteen and a coefficient of value 0.
class CodeTable {
 public:
  // Most codes with their values. The two tables of AC coefficients that a picture has, of 16 KiB
  // each, fit into a first-level cache.
  static constexpr std::uint32_t kLookupBits = 12;

  // False where IsSoundCode() is.
  bool Make(const storage::HuffmanTable& table, CodeKind kind);

  Coefficient Lookup(std::uint64_t window) const { return entries_[window >> (64 - kLookupBits)]; }

  // Completes what Lookup() found. Whole unless there is no such code.
  Coefficient Complete(Coefficient found, std::uint64_t window) const;

 private:
  Coefficient FindLong(std::uint32_t bits) const;

  std::array<Coefficient, std::size_t{1} << kLookupBits> entries_{};
  // By length: the first 16 bits that are above all codes of it, and what to add to such a code for
  // the place of its symbol.
  std::array<std::uint32_t, 17> limit_{};
  std::array<std::int32_t, 17> offset_{};
  std::array<std::uint8_t, 256> symbols_{};
  CodeKind kind_ = CodeKind::kAc;
};

}  // namespace millrace::stages::region
