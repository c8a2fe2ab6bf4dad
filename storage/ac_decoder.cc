#include "storage/ac_decoder.h"

namespace millrace::storage {
namespace {

static_assert(kMostTokenKinds == 1 << 13);

constexpr std::uint32_t kMorePositions = kBlockSize - 1;
constexpr std::uint32_t kNotInOneStep = kMorePositions << 22;

constexpr std::uint32_t Entry(std::size_t token, std::uint32_t value_size, std::uint32_t all_bits,
                              std::uint32_t positions, bool ends_block) {
  return static_cast<std::uint32_t>(token) | value_size << 13 | all_bits << 17 | positions << 22 |
         (ends_block ? 1u : 0u) << 28;
}

}  // namespace

bool AcDecoder::Make(const HuffmanTable& table, JpegToken to_table, std::size_t first_phrase) {
  if (!single_.Make(table)) return false;
  for (std::uint32_t bits = 0; bits < kPhrases; ++bits) {
    lookup_[bits] = kNotInOneStep;
    phrases_[bits] = {};
    // Zeros behind these bits make no code longer than they are.
    const std::uint64_t window = std::uint64_t{bits} << (64 - kLookupBits);
    const auto first = single_.Find(window);
    if (first.entry == 0 || first.code_bits() > kLookupBits) continue;
    const std::uint32_t size = first.symbol() % 16;
    const JpegToken token = to_table | first.symbol();
    if (first.symbol() == kEndOfBlock) {
      lookup_[bits] = Entry(token, 0, first.all_bits(), 0, true);
      continue;
    }
    if (size == 0) continue;
    const std::uint32_t positions = first.symbol() / 16 + 1;
    lookup_[bits] = Entry(token, size, first.all_bits(), positions, false);
    if (first.all_bits() >= kLookupBits) continue;
    const auto second = single_.Find(window << first.all_bits());
    const std::uint32_t second_size = second.symbol() % 16;
    const bool ends_block = second.symbol() == kEndOfBlock;
    if (second.entry == 0 || first.all_bits() + second.code_bits() > kLookupBits ||
        (second_size == 0 && !ends_block)) {
      continue;
    }
    phrases_[bits] = {.first = static_cast<std::uint16_t>(token),
                      .second = static_cast<std::uint16_t>(to_table | second.symbol()),
                      .first_value = static_cast<std::uint16_t>(
                          bits >> (kLookupBits - first.all_bits()) & ((1u << size) - 1))};
    lookup_[bits] = Entry(kNumSymbolKinds + first_phrase + bits, second_size,
                          first.all_bits() + second.all_bits(),
                          positions + (ends_block ? 0 : second.symbol() / 16 + 1), ends_block);
  }
  return true;
}

}  // namespace millrace::storage
