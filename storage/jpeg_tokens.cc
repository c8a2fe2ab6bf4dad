#include "storage/jpeg_tokens.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace millrace::storage {
namespace {

// For each byte of the flags that NonzeroFlags() finds, the same flags in zigzag order.
using FlagOrder = std::array<std::array<std::uint64_t, 256>, kBlockSide>;
constexpr FlagOrder kZigzagFlags = [] {
  FlagOrder order{};
  for (std::size_t k = 0; k < kBlockSize; ++k) {
    const std::size_t x = kNaturalPosition[k] % kBlockSide;
    const std::size_t y = kNaturalPosition[k] / kBlockSide;
    for (std::size_t column = 0; column < 256; ++column) {
      if ((column >> y & 1) != 0) order[x][column] |= std::uint64_t{1} << k;
    }
  }
  return order;
}();

// Vectors as GCC and Clang have them on all machines.
using Row = std::int16_t __attribute__((vector_size(2 * kBlockSide)));
using Columns = std::uint8_t __attribute__((vector_size(kBlockSide)));

// Bit k says whether coefficient k in zigzag order is not 0.
inline std::uint64_t NonzeroFlags(const std::int16_t* block) {
  // In each column bit y for row y. What is true is -1.
  Row zeros{};
#pragma GCC unroll 8
  for (std::size_t y = kBlockSide; y-- > 0;) {
    Row row;
    std::memcpy(&row, block + y * kBlockSide, sizeof row);
    zeros += zeros - (row == 0);
  }
  const Columns columns = ~__builtin_convertvector(zeros, Columns);
  std::uint64_t zigzag = 0;
#pragma GCC unroll 8
  for (std::size_t x = 0; x < kBlockSide; ++x) zigzag |= kZigzagFlags[x][columns[x]];
  return zigzag;
}

// Those of nearly all values there are, from -kSmall on.
constexpr std::int32_t kSmall = 256;
constexpr std::array<JpegToken, 2 * kSmall> kSmallTokens = [] {
  std::array<JpegToken, 2 * kSmall> tokens{};
  for (std::int32_t i = 0; i < 2 * kSmall; ++i) {
    tokens[static_cast<std::size_t>(i)] = ValueToken(i - kSmall);
  }
  return tokens;
}();

// Where tokens go, kept in registers.
struct Output {
  JpegToken* next;
  // Two sets of counts in turn: adding to the count that was just written has to wait for it.
  std::uint32_t* counts;
  std::uint32_t* other_counts;
  bool has_overflow;

  void Add(JpegToken token) {
    ++counts[TokenKind(token)];
    std::swap(counts, other_counts);
    *next++ = token;
  }

  // Adds `value` with the table and the zeros of `kind`.
  void AddValue(std::int32_t value, std::uint32_t kind) {
    const auto small = static_cast<std::size_t>(value + kSmall);
    if (small < kSmallTokens.size()) [[likely]] {
      Add(kSmallTokens[small] | kind);
    } else {
      const JpegToken token = ValueToken(value);
      has_overflow |= value == -32768;
      Add(token | kind);
    }
  }
};

inline void AddBlock(const std::int16_t* block, std::int16_t* last_dc, std::uint32_t table,
                     Output* out) {
  // Decoders add up the steps and keep 16 bits of the sum.
  out->AddValue(static_cast<std::int16_t>(block[0] - *last_dc), table);
  *last_dc = block[0];
  std::uint64_t flags = NonzeroFlags(block) & ~std::uint64_t{1};
  std::uint32_t last = 0;
  while (flags != 0) {
    const auto k = static_cast<std::uint32_t>(std::countr_zero(flags));
    flags &= flags - 1;
    std::uint32_t zeros = k - last - 1;
    for (; zeros > 15; zeros -= 16) out->Add(table | kAcTable | kSixteenZeros);
    out->AddValue(block[kNaturalPosition[k]], table | kAcTable | zeros << 4);
    last = k;
  }
  if (last != kBlockSize - 1) out->Add(table | kAcTable | kEndOfBlock);
}

// A block outside of the picture that completes an MCU: nobody sees it, so it costs as little as it
// can.
inline void AddPadding(std::uint32_t table, Output* out) {
  out->Add(table);
  out->Add(table | kAcTable | kEndOfBlock);
}

}  // namespace

void JpegTokenizer::Begin(const JpegFrame& frame, std::uint32_t segment_mcus) {
  frame_ = &frame;
  segment_mcus_ = segment_mcus;
  mcus_per_row_ = frame.mcus_per_row();
  MILLRACE_CHECK(segment_mcus == 0 || mcus_per_row_ % segment_mcus == 0);
  last_dc_.assign(frame.planes.size(), 0);
  counts_ = {};
  has_overflow_ = false;
  Clear();
}

JpegTokens JpegTokenizer::tokens() {
  for (std::size_t kind = 0; kind < kNumSymbolKinds; ++kind) {
    sums_[kind] = counts_[0][kind] + counts_[1][kind];
  }
  return {{tokens_.data(), num_tokens_}, ends_, sums_, {}};
}

void JpegTokenizer::Clear() {
  num_tokens_ = 0;
  ends_.clear();
}

void JpegTokenizer::AddRow(std::uint32_t row) {
  const std::size_t most =
      num_tokens_ + std::size_t{mcus_per_row_} * frame_->blocks_in_mcu() * kMostTokensOfBlock;
  if (tokens_.size() < most) tokens_.resize(std::max(most, 2 * tokens_.size()));
  Output out{tokens_.data() + num_tokens_, counts_[0].data(), counts_[1].data(), has_overflow_};
  const auto end_segment = [&] {
    num_tokens_ = static_cast<std::size_t>(out.next - tokens_.data());
    ends_.push_back(num_tokens_);
  };
  for (std::uint32_t mcu = 0; mcu < mcus_per_row_; ++mcu) {
    if (segment_mcus_ != 0 && mcu % segment_mcus_ == 0) {
      if (mcu != 0) end_segment();
      std::fill(last_dc_.begin(), last_dc_.end(), std::int16_t{0});
    }
    for (std::size_t i = 0; i < frame_->planes.size(); ++i) {
      const CoefficientPlane& plane = frame_->planes[i];
      const std::uint32_t table = UsesChromaTables(frame_->color, i) ? kChromaTables : 0;
      for (std::uint32_t y = row * plane.v; y < (row + 1) * plane.v; ++y) {
        for (std::uint32_t x = mcu * plane.h; x < (mcu + 1) * plane.h; ++x) {
          if (x < plane.width_blocks && y < plane.rows.size()) {
            AddBlock(plane.rows[y] + x * kBlockSize, &last_dc_[i], table, &out);
          } else {
            AddPadding(table, &out);
          }
        }
      }
    }
  }
  end_segment();
  has_overflow_ = out.has_overflow;
}

}  // namespace millrace::storage
