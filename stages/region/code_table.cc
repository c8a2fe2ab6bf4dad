#include "stages/region/code_table.h"

#include <algorithm>
#include <numeric>

namespace millrace::stages::region {
namespace {

struct Symbol {
  std::uint32_t zeros;
  std::uint32_t size;  // of the value [bits]
};

// ITU-T T.81, F.2.2. Without a value behind it a symbol of AC coefficients is sixteen zeros or,
// whatever its zeros, the end of the block, as libjpeg takes it.
Symbol Meaning(std::uint8_t symbol, CodeKind kind) {
  if (kind == CodeKind::kDc) return {Coefficient::kDc, symbol};
  const std::uint32_t zeros = symbol >> 4;
  const std::uint32_t size = symbol & 15;
  return {size == 0 && zeros != 15 ? Coefficient::kEndOfBlock : zeros, size};
}

// All entries that begin with one code of `length` bits and hold its value too. Returns where those
// of the next code go. Loops that the compiler makes vectors of.
Coefficient* FillWhole(Coefficient* out, std::uint32_t length, Symbol symbol) {
  const std::uint32_t count = 1u << (CodeTables::kLookupBits - length);
  const std::uint32_t free_bits = CodeTables::kLookupBits - length - symbol.size;
  const std::uint32_t zero = Coefficient::Of(length + symbol.size, symbol.zeros, 0).entry;
  // Values that do not begin with a one are negative.
  const std::uint32_t negative = symbol.size == 0 ? 0 : count / 2;
  const std::uint32_t least = zero - (((1u << symbol.size) - 1) << 16);
  for (std::uint32_t i = 0; i < negative; ++i) out[i].entry = least + (i >> free_bits << 16);
  for (std::uint32_t i = negative; i < count; ++i) out[i].entry = zero + (i >> free_bits << 16);
  return out + count;
}

Coefficient WithoutValue(std::uint32_t code_bits, Symbol symbol) {
  return Coefficient::Of(code_bits + symbol.size + Coefficient::kWithoutValue, symbol.zeros,
                         static_cast<std::int32_t>(symbol.size));
}

}  // namespace

bool IsSoundCode(const storage::HuffmanTable& table, CodeKind kind) {
  const auto symbols = std::accumulate(table.lengths.begin(), table.lengths.end(), 0u);
  if (symbols > table.symbols.size()) return false;
  std::uint32_t code = 0;
  for (std::uint32_t length = 1; length <= 16; ++length, code <<= 1) {
    const std::uint32_t count = table.lengths[length - 1];
    code += count;
    if (count > 0 && code >> length != 0) return false;
  }
  return std::none_of(table.symbols.begin(), table.symbols.begin() + symbols,
                      [kind](std::uint8_t symbol) { return Meaning(symbol, kind).size > 15; });
}

bool CodeTables::Make(std::size_t number, const storage::HuffmanTable& table, CodeKind kind) {
  if (!IsSoundCode(table, kind)) return false;
  LongCodes& long_codes = long_codes_[number];
  long_codes.symbols = table.symbols;
  long_codes.kind = kind;
  // Codes come in their order, and so do the entries that begin with them.
  Coefficient* entry = entries_.data() + FirstOf(number);
  Coefficient* const end = entry + (std::size_t{1} << kLookupBits);
  std::uint32_t code = 0;
  std::uint32_t place = 0;
  for (std::uint32_t length = 1; length <= 16; ++length, code <<= 1) {
    long_codes.offset[length] = static_cast<std::int32_t>(place) - static_cast<std::int32_t>(code);
    const std::uint32_t count = table.lengths[length - 1];
    for (std::uint32_t i = 0; i < count && length <= kLookupBits; ++i) {
      const Symbol symbol = Meaning(table.symbols[place + i], kind);
      if (length + symbol.size <= kLookupBits) {
        entry = FillWhole(entry, length, symbol);
      } else {
        entry = std::fill_n(entry, std::size_t{1} << (kLookupBits - length),
                            WithoutValue(length, symbol));
      }
    }
    code += count;
    place += count;
    long_codes.limit[length] = code << (16 - length);
  }
  std::fill(entry, end, Coefficient{});
  return true;
}

Coefficient CodeTables::FindLong(std::uint32_t first, std::uint64_t window) const {
  return long_codes_[first >> kLookupBits].Find(static_cast<std::uint32_t>(window >> 48));
}

Coefficient CodeTables::LongCodes::Find(std::uint32_t bits) const {
  for (std::uint32_t length = kLookupBits + 1; length <= 16; ++length) {
    if (bits >= limit[length]) continue;
    const auto code = static_cast<std::int32_t>(bits >> (16 - length));
    const Symbol symbol = Meaning(symbols[static_cast<std::size_t>(code + offset[length])], kind);
    return WithoutValue(length, symbol);
  }
  return {};
}

}  // namespace millrace::stages::region
