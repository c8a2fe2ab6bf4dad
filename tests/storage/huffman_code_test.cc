#include "storage/huffman_code.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <queue>
#include <vector>

#include "base/random.h"

namespace millrace::storage {
namespace {

using Counts = std::vector<std::uint32_t>;

std::uint64_t Cost(const Counts& counts, const HuffmanCode& code) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < 256; ++i) bits += std::uint64_t{counts[i]} * code.length[i];
  return bits;
}

// Of Huffman's own algorithm, with a symbol that never occurs besides.
std::uint64_t CostWithoutLimit(const Counts& counts) {
  std::priority_queue<std::uint64_t, std::vector<std::uint64_t>, std::greater<>> queue;
  queue.push(0);
  for (const auto count : counts) {
    if (count > 0) queue.push(count);
  }
  std::uint64_t cost = 0;
  while (queue.size() > 1) {
    const std::uint64_t first = queue.top();
    queue.pop();
    const std::uint64_t second = queue.top();
    queue.pop();
    cost += first + second;
    queue.push(first + second);
  }
  return cost;
}

void ExpectSound(const Counts& counts, const HuffmanCode& code) {
  // Walks the codes as a decoder makes them from what DHT says.
  std::size_t next = 0;
  std::uint32_t canonical = 0;
  for (unsigned length = 1; length <= 16; ++length) {
    for (unsigned i = 0; i < code.lengths[length - 1]; ++i) {
      ASSERT_LT(next, code.symbols.size());
      const std::uint8_t symbol = code.symbols[next++];
      EXPECT_EQ(code.code[symbol], canonical);
      EXPECT_EQ(code.length[symbol], length);
      EXPECT_LT(canonical, (1u << length) - 1) << "all ones, or no code of its length";
      ++canonical;
    }
    canonical <<= 1;
  }
  EXPECT_EQ(next, code.symbols.size());
  for (std::size_t i = 0; i < 256; ++i) {
    EXPECT_TRUE(counts[i] == 0 || code.length[i] > 0) << i;
  }
}

TEST(HuffmanCode, RandomCountsGetTheCheapestCode) {
  RandomStream random({.seed = 1}, 0);
  for (int round = 0; round < 200; ++round) {
    Counts counts(256, 0);
    const auto used = 1 + random.Below(256);
    for (std::uint32_t i = 0; i < used; ++i) {
      counts[random.Below(256)] = 1 + random.Below(1u << random.Below(8));
    }
    const HuffmanCode code = MakeHuffmanCode(counts);
    ExpectSound(counts, code);
    EXPECT_EQ(Cost(counts, code), CostWithoutLimit(counts));
  }
}

TEST(HuffmanCode, SkewedCountsStayWithinSixteenBits) {
  // Fibonacci numbers make the deepest trees.
  Counts counts(256, 0);
  std::uint32_t a = 1;
  std::uint32_t b = 1;
  for (std::size_t i = 0; i < 40; ++i) {
    counts[i] = a;
    b += a;
    a = b - a;
  }
  const HuffmanCode code = MakeHuffmanCode(counts);
  ExpectSound(counts, code);
  EXPECT_EQ(*std::max_element(code.length.begin(), code.length.end()), 16);
  EXPECT_LT(Cost(counts, code), CostWithoutLimit(counts) * 1001 / 1000);
}

TEST(HuffmanCode, OneSymbolGetsOneBit) {
  Counts counts(256, 0);
  counts[17] = 5;
  const HuffmanCode code = MakeHuffmanCode(counts);
  ExpectSound(counts, code);
  EXPECT_EQ(code.length[17], 1);
}

TEST(HuffmanCode, NoSymbolsStillMakeACode) {
  const HuffmanCode code = MakeHuffmanCode(Counts(256, 0));
  EXPECT_EQ(code.symbols, std::vector<std::uint8_t>{0});
}

TEST(HuffmanCode, AllSymbolsFit) {
  const Counts counts(256, 3);
  const HuffmanCode code = MakeHuffmanCode(counts);
  ExpectSound(counts, code);
  EXPECT_EQ(Cost(counts, code), CostWithoutLimit(counts));
}

}  // namespace
}  // namespace millrace::storage
