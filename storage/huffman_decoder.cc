#include "storage/huffman_decoder.h"

#include <algorithm>
#include <numeric>

namespace millrace::storage {
namespace {

constexpr std::uint32_t Entry(std::uint32_t length, std::uint32_t symbol) {
  return length << 16 | symbol << 8 | (length + symbol % 16);
}

}  // namespace

bool HuffmanDecoder::Make(const HuffmanTable& table) {
  if (std::accumulate(table.lengths.begin(), table.lengths.end(), 0u) > 256) return false;
  symbols_ = table.symbols;
  lookup_.fill(0);
  std::uint32_t code = 0;
  std::uint32_t place = 0;
  for (std::uint32_t length = 1; length <= 16; ++length, code <<= 1) {
    offset_[length] = static_cast<std::int32_t>(place) - static_cast<std::int32_t>(code);
    const std::uint32_t count = table.lengths[length - 1];
    for (std::uint32_t i = 0; i < count; ++i, ++code, ++place) {
      if (length > kLookupBits) continue;
      const std::uint32_t free_bits = kLookupBits - length;
      if (code >> length != 0) return false;
      std::fill_n(lookup_.begin() + static_cast<std::ptrdiff_t>(code << free_bits),
                  std::size_t{1} << free_bits, Entry(length, symbols_[place]));
    }
    if (count > 0 && code >> length != 0) return false;
    limit_[length] = code << (16 - length);
  }
  return true;
}

HuffmanDecoder::Found HuffmanDecoder::FindLong(std::uint32_t bits) const {
  for (std::uint32_t length = kLookupBits + 1; length <= 16; ++length) {
    if (bits >= limit_[length]) continue;
    const std::int32_t code = static_cast<std::int32_t>(bits >> (16 - length));
    return {Entry(length, symbols_[static_cast<std::size_t>(code + offset_[length])])};
  }
  return {0};
}

}  // namespace millrace::storage
