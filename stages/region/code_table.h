// Huffman codes as tables that give most coefficients in one step: how many bits they take, how
// many zeros come before, and their value.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "stages/region/coefficients.h"
#include "storage/huffman_decoder.h"
#include "storage/jpeg_frame.h"

namespace millrace::stages::region {

// What the bits of a segment begin with.
struct Coefficient {
  std::uint32_t entry = 0;

  // What leads behind a block in place of zeros: at its end, from any position in it, and of a DC
  // coefficient, which is like a block of its own: it too begins with position 1.
  static constexpr std::uint32_t kEndOfBlock = 128;
  static constexpr std::uint32_t kDc = 127;

  static constexpr Coefficient Of(std::uint32_t bits, std::uint32_t zeros, std::int32_t value) {
    return {bits | zeros << 8 | static_cast<std::uint32_t>(value) << 16};
  }
  // Of code and value, 1 to 31.
  std::uint8_t bits() const { return static_cast<std::uint8_t>(entry); }
  // Before it, in zigzag order.
  std::uint8_t zeros() const { return static_cast<std::uint8_t>(entry >> 8); }
  std::int16_t value() const { return static_cast<std::int16_t>(entry >> 16); }

  // Whether that is all of it. Where it is not, more bits decide than are looked at: those of the
  // value, whose size then is in its place, or, if nothing else is set, those of the code.
  bool is_whole() const { return static_cast<std::int8_t>(entry) > 0; }
  static constexpr std::uint32_t kWithoutValue = 128;  // added to the bits

  // The whole of one without its value. Code and value are the highest bits of `window`.
  Coefficient WithValue(std::uint64_t window) const {
    const std::uint32_t size = entry >> 16;
    // The value's bits at the top. Values that do not begin with a one are negative.
    const std::uint64_t from_value = window << (bits() - kWithoutValue - size);
    const auto negative = static_cast<std::uint32_t>(~static_cast<std::int64_t>(from_value) >> 63);
    const auto value = static_cast<std::uint32_t>(from_value >> 1 >> (63 - size));
    return {((entry - kWithoutValue) & 0xFFFF) + ((value - (negative >> 1 >> (31 - size))) << 16)};
  }
};

enum class CodeKind : std::uint8_t { kDc, kAc };

// False for a code that libjpeg would refuse: more symbols than there are or than fit into their
// lengths, one of all ones, or a step between DC coefficients of more than 15 bits.
bool IsSoundCode(const storage::HuffmanTable& table, CodeKind kind);

// The codes of a picture. Sixteen zeros are fifteen and a coefficient of value 0.
class CodeTables {
 public:
  static constexpr std::size_t kMost = 4;
  // The number of one that has no code at all.
  static constexpr std::size_t kNone = kMost;

  // Most codes with their values. The two tables of AC coefficients that a picture has, of 16 KiB
  // each, fit into a first-level cache.
  static constexpr std::uint32_t kLookupBits = 12;

  // Makes table `number`. False where IsSoundCode() is. REQUIRES: number < kMost
  bool Make(std::size_t number, const storage::HuffmanTable& table, CodeKind kind);

  // The place of a table's first entry.
  static std::uint32_t FirstOf(std::size_t number) {
    return static_cast<std::uint32_t>(number << kLookupBits);
  }

  // What the lowest kLookupBits bits of `window` begin with by the table whose first entry is
  // `first`.
  Coefficient Lookup(std::uint32_t first, std::uint32_t window) const {
    return entries_[std::size_t{first} + (window & ((1u << kLookupBits) - 1))];
  }

  // PlaceInGroup() of a coefficient in zigzag order, of a DC coefficient where it leads, and
  // behind the block's end that of the last one: an end of block writes a zero that is there
  // anyway. Here, so that it takes no register of its own.
  std::uint32_t Place(std::int64_t position) const {
    return places_[static_cast<std::size_t>(position)];
  }

  // What Lookup() found nothing of, by more bits, the highest of `window`: without its value, of
  // whatever size. Nothing if there is no such code.
  Coefficient FindLong(std::uint32_t first, std::uint64_t window) const;

 private:
  static constexpr std::array<std::uint8_t, 256> Places() {
    std::array<std::uint8_t, 256> places{};
    places.fill(PlaceInGroup(storage::kBlockSize - 1));
    std::transform(storage::kNaturalPosition.begin(), storage::kNaturalPosition.end(),
                   places.begin(), PlaceInGroup);
    places[1 + Coefficient::kDc] = 0;
    return places;
  }

  // For codes of more than kLookupBits bits.
  struct LongCodes {
    // By length: the first 16 bits that are above all codes of it, and what to add to such a code
    // for the place of its symbol.
    std::array<std::uint32_t, 17> limit{};
    std::array<std::int32_t, 17> offset{};
    std::array<std::uint8_t, 256> symbols{};
    CodeKind kind = CodeKind::kAc;

    Coefficient Find(std::uint32_t bits) const;
  };

  std::array<Coefficient, (kMost + 1) << kLookupBits> entries_{};
  std::array<std::uint8_t, 256> places_ = Places();
  std::array<LongCodes, kMost + 1> long_codes_{};
};

}  // namespace millrace::stages::region
