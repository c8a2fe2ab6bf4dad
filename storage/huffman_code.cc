#include "storage/huffman_code.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace millrace::storage {
namespace {

constexpr std::size_t kLongest = 16;  // [bits]

constexpr std::size_t kMostSymbols = 257;  // with the one that keeps the code of all ones free
constexpr std::size_t kMostItems = 2 * kMostSymbols;

// How many bits each of the symbols gets whose counts are given in ascending order: package-merge
// (Larmore and Hirschberg, "A fast algorithm for optimal length-limited Huffman codes", 1990). On
// every level the symbols are merged with the pairs of the items of the level below.
std::array<std::uint8_t, kMostSymbols> CodeLengths(std::span<const std::uint64_t> counts) {
  std::array<std::array<std::uint8_t, kMostItems>, kLongest> is_pair;
  std::array<std::array<std::uint64_t, kMostItems>, 2> items;
  std::size_t num_below = 0;
  for (std::size_t level = 0; level < kLongest; ++level) {
    const auto& below = items[level % 2];
    auto& merged = items[1 - level % 2];
    std::size_t symbol = 0;
    std::size_t pair = 0;
    std::size_t i = 0;
    for (; symbol < counts.size() || pair < num_below / 2; ++i) {
      const bool take_pair =
          pair < num_below / 2 &&
          (symbol == counts.size() || below[2 * pair] + below[2 * pair + 1] < counts[symbol]);
      merged[i] = take_pair ? below[2 * pair] + below[2 * pair + 1] : counts[symbol];
      is_pair[level][i] = take_pair ? 1 : 0;
      pair += take_pair ? 1 : 0;
      symbol += take_pair ? 0 : 1;
    }
    num_below = i;
  }
  // The length of a symbol is the number of levels where it is among the items that count.
  std::array<std::uint8_t, kMostSymbols> lengths{};
  std::size_t count = 2 * (counts.size() - 1);
  for (std::size_t level = kLongest; level-- > 0;) {
    const std::size_t pairs = std::accumulate(
        is_pair[level].begin(), is_pair[level].begin() + static_cast<std::ptrdiff_t>(count),
        std::size_t{0});
    for (std::size_t i = 0; i < count - pairs; ++i) ++lengths[i];
    count = 2 * pairs;
  }
  return lengths;
}

}  // namespace

HuffmanCode MakeHuffmanCode(std::span<const std::uint32_t> counts) {
  MILLRACE_CHECK(counts.size() == 256);
  struct Used {
    std::uint64_t count;
    std::uint8_t symbol;
  };
  std::vector<Used> used;
  for (std::size_t symbol = 0; symbol < counts.size(); ++symbol) {
    if (counts[symbol] > 0) used.push_back({counts[symbol], static_cast<std::uint8_t>(symbol)});
  }
  if (used.empty()) used.push_back({1, 0});
  std::stable_sort(used.begin(), used.end(),
                   [](const Used& a, const Used& b) { return a.count < b.count; });
  // A symbol that never occurs gets the longest code; as the last of that length it is all ones,
  // which so remains free.
  std::vector<std::uint64_t> sorted = {0};
  for (const Used& entry : used) sorted.push_back(entry.count);
  const auto lengths = CodeLengths(sorted);

  HuffmanCode result;
  std::uint32_t code = 0;
  std::uint8_t bits = 1;
  for (std::size_t i = used.size(); i > 0; --i) {  // lengths[0] is that of the unused symbol
    for (; bits < lengths[i]; ++bits) code <<= 1;
    const std::uint8_t symbol = used[i - 1].symbol;
    result.code[symbol] = static_cast<std::uint16_t>(code++);
    result.length[symbol] = bits;
    ++result.lengths[bits - 1u];
    result.symbols.push_back(symbol);
  }
  return result;
}

}  // namespace millrace::storage
