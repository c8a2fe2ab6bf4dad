// Huffman codes as JPEG has them: at most 16 bits, none of them all ones, made for given counts.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace millrace::storage {

struct HuffmanCode {
  // What a DHT segment holds: how many codes there are of 1, 2, ... 16 bits, and their symbols in
  // the order of their codes.
  std::array<std::uint8_t, 16> lengths{};
  std::vector<std::uint8_t> symbols;
  // The code of each symbol and its length [bits]; length 0: not used.
  std::array<std::uint16_t, 256> code{};
  std::array<std::uint8_t, 256> length{};
};

// The code with the fewest bits for symbols that occur so often, under the limits above. A code for
// no symbols at all gets symbol 0, as decoders may refuse an empty one. REQUIRES: 256 counts
HuffmanCode MakeHuffmanCode(std::span<const std::uint32_t> counts);

}  // namespace millrace::storage
