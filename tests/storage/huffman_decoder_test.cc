#include "storage/huffman_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "storage/huffman_code.h"

namespace millrace::storage {
namespace {

HuffmanTable TableOf(const HuffmanCode& code) {
  HuffmanTable table{.lengths = code.lengths, .symbols = {}};
  std::copy(code.symbols.begin(), code.symbols.end(), table.symbols.begin());
  return table;
}

// A code for `symbols` of the 256, from nearly even to as skewed as 16 bits allow.
HuffmanCode RandomCode(std::uint64_t seed, std::uint32_t symbols) {
  RandomStream random({.seed = seed}, 0);
  std::array<std::uint32_t, 256> counts{};
  for (std::uint32_t i = 0; i < symbols; ++i) counts[random.Below(256)] = 1u << random.Below(24);
  return MakeHuffmanCode(counts);
}

TEST(HuffmanDecoder, EveryCodeIsFoundWhateverFollows) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const HuffmanCode code = RandomCode(seed, 1 + static_cast<std::uint32_t>(seed) * 5);
    HuffmanDecoder decoder;
    ASSERT_TRUE(decoder.Make(TableOf(code)));
    for (const std::uint8_t symbol : code.symbols) {
      const std::uint32_t length = code.length[symbol];
      const std::uint64_t begin = std::uint64_t{code.code[symbol]} << (64 - length);
      for (const std::uint64_t rest : {std::uint64_t{0}, ~std::uint64_t{0} >> length}) {
        const auto found = decoder.Find(begin | rest);
        EXPECT_EQ(found.symbol(), symbol);
        EXPECT_EQ(found.code_bits(), length);
        EXPECT_EQ(found.all_bits(), length + symbol % 16);
      }
    }
  }
}

TEST(HuffmanDecoder, BitsThatNoCodeBeginsWithAreNotFound) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    HuffmanDecoder decoder;
    ASSERT_TRUE(decoder.Make(TableOf(RandomCode(seed, 200))));
    EXPECT_EQ(decoder.Find(~std::uint64_t{0}).entry, 0u);
  }
  HuffmanDecoder none;
  ASSERT_TRUE(none.Make({}));
  for (std::uint64_t bits = 0; bits < 1 << 16; ++bits) EXPECT_EQ(none.Find(bits << 48).entry, 0u);
}

TEST(HuffmanDecoder, ADecoderRemembersNothing) {
  HuffmanDecoder used;
  ASSERT_TRUE(used.Make(TableOf(RandomCode(1, 250))));
  const HuffmanTable table = TableOf(RandomCode(2, 3));
  HuffmanDecoder fresh;
  ASSERT_TRUE(used.Make(table) && fresh.Make(table));
  for (std::uint64_t bits = 0; bits < 1 << 16; ++bits) {
    EXPECT_EQ(used.Find(bits << 48).entry, fresh.Find(bits << 48).entry);
  }
}

TEST(HuffmanDecoder, TablesThatAreNoCodeAreRefused) {
  HuffmanDecoder decoder;
  const auto makes = [&](std::initializer_list<std::uint8_t> lengths) {
    HuffmanTable table;
    std::copy(lengths.begin(), lengths.end(), table.lengths.begin());
    return decoder.Make(table);
  };
  EXPECT_TRUE(makes({1, 1}));
  EXPECT_FALSE(makes({2}));     // one of them all ones
  EXPECT_FALSE(makes({3}));     // more than there are
  EXPECT_FALSE(makes({1, 2}));  // all ones
  EXPECT_FALSE(makes({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2}));
  EXPECT_TRUE(makes({0, 0, 0, 0, 0, 0, 0, 0, 255, 1}));
  EXPECT_FALSE(makes({0, 0, 0, 0, 0, 0, 0, 0, 255, 2}));  // more than 256
}

}  // namespace
}  // namespace millrace::storage
