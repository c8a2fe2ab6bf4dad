#include "stages/resample.h"

#include <algorithm>
#include <cstring>

#include "stages/image.h"
#include "stages/resample_scalar.h"

// Vectors of unknown size cannot be array elements; processors that have them also have NEON.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "stages/resample.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first.
#include <hwy/highway.h>

#include "stages/row_blocks-inl.h"

// Arithmetic of both passes: pixels of two neighbouring taps become the halves of a 32-bit lane,
// and one multiply-and-add takes them times the pair's high bits, another times its low bits. The
// sums of the low bits are shifted down and join. That is exact: floor((high * 2^8 + low) / 2^22)
// == floor((high + floor(low / 2^8)) / 2^14).

HWY_BEFORE_NAMESPACE();
namespace millrace::stages::HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR

void Rows(const ResampleTable& table, const std::uint8_t* const* sources, int rows,
          std::uint8_t* const* outputs) {
  ResampleRowsScalar(table, sources, rows, outputs);
}

void Columns(const TapPair* coefficients, int pairs, const std::uint8_t* const* sources,
             std::size_t bytes, std::uint8_t* out) {
  ResampleColumnsScalar(coefficients, pairs, sources, bytes, out);
}

#else

constexpr int kHighShift = kCoefficientBits - kLowBits;
constexpr int kRounding = 1 << (kCoefficientBits - 1);

// Sums over the taps of some pixels.
class TapSum {
 public:
  // Written out because a constructor that the compiler supplies lacks the target's instructions.
  HWY_INLINE TapSum() : high_(hn::Zero(d32)), low_(hn::Set(d32, kRounding)) {}

  HWY_INLINE void Add(V16 pixels, V16 high, V16 low) {
    high_.Add(pixels, high);
    low_.Add(pixels, low);
  }

  HWY_INLINE V32 Rounded() const {
    return hn::ShiftRight<kHighShift>(
        hn::Add(high_.Total(), hn::ShiftRight<kLowBits>(low_.Total())));
  }

 private:
  PairSum high_;
  PairSum low_;
};

// Narrows within each block: block i of the result is block i of a, b, c and d, clipped to 0..255.
HWY_INLINE V8 PackBlocks(V32 a, V32 b, V32 c, V32 d) {
  const V16 ab = hn::ReorderDemote2To(d16, a, b);
  const V16 cd = hn::ReorderDemote2To(d16, c, d);
#if MILLRACE_X86_VECTORS && HWY_MAX_BYTES == 64
  return V8{_mm512_packus_epi16(ab.raw, cd.raw)};
#elif MILLRACE_X86_VECTORS && HWY_MAX_BYTES == 32
  return V8{_mm256_packus_epi16(ab.raw, cd.raw)};
#elif MILLRACE_X86_VECTORS
  return V8{_mm_packus_epi16(ab.raw, cd.raw)};
#else
  static_assert(kBlocks == 1);
  const hn::Half<D8> half;
  return hn::Combine(d8, hn::DemoteTo(half, cd), hn::DemoteTo(half, ab));
#endif
}

// The same as kFirstPair of the last two pixels.
alignas(16) constexpr std::uint8_t kSecondPair[16] = {6, 0x80, 9,  0x80, 7,    0x80, 10,   0x80,
                                                      8, 0x80, 11, 0x80, 0x80, 0x80, 0x80, 0x80};
// 4 pixels of 4 bytes to 4 of 3.
alignas(16) constexpr std::uint8_t kDropFourth[16] = {0,  1,  2,  4,  5,    6,    8,    9,
                                                      10, 12, 13, 14, 0x80, 0x80, 0x80, 0x80};

// Rows that the horizontal pass makes together, so that coefficients are loaded once for all.
constexpr int kVectors = 2;
constexpr int kRows = kVectors * kBlocks;

// kPairs: pairs of taps, or 0 for whatever the table has.
template <int kPairs>
HWY_INLINE void RowsPass(const ResampleTable& table, const std::uint8_t* const* sources,
                         std::uint8_t* const* outputs) {
  const int pairs = kPairs == 0 ? table.pairs() : kPairs;
  const V8 first_pair = hn::LoadDup128(d8, kFirstPair);
  const V8 second_pair = hn::LoadDup128(d8, kSecondPair);
  const V8 drop_fourth = hn::LoadDup128(d8, kDropFourth);
  for (int output = 0; output < table.padded_outputs(); output += 4) {
    V32 pixels[kVectors][4];
    for (int i = 0; i < 4; ++i) {
      TapSum sums[kVectors];
      const TapPair* coefficients = table.coefficients(output + i);
      auto offset = static_cast<std::size_t>(table.first(output + i)) * kChannels;
      for (int pair = 0; pair < pairs; pair += 2, offset += 4 * kChannels) {
        V8 bytes[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          bytes[v] = LoadBlocks(d8, sources + v * kBlocks, offset);
        }
        const V16 high = Broadcast(coefficients[pair].high);
        const V16 low = Broadcast(coefficients[pair].low);
        for (int v = 0; v < kVectors; ++v) {
          sums[v].Add(hn::BitCast(d16, hn::TableLookupBytesOr0(bytes[v], first_pair)), high, low);
        }
        if (pair + 1 < pairs) {
          const V16 next_high = Broadcast(coefficients[pair + 1].high);
          const V16 next_low = Broadcast(coefficients[pair + 1].low);
          for (int v = 0; v < kVectors; ++v) {
            sums[v].Add(hn::BitCast(d16, hn::TableLookupBytesOr0(bytes[v], second_pair)), next_high,
                        next_low);
          }
        }
      }
      for (int v = 0; v < kVectors; ++v) pixels[v][i] = sums[v].Rounded();
    }
    for (int v = 0; v < kVectors; ++v) {
      const V8 packed = PackBlocks(pixels[v][0], pixels[v][1], pixels[v][2], pixels[v][3]);
      StoreBlocks(d8, hn::TableLookupBytesOr0(packed, drop_fourth), outputs + v * kBlocks,
                  static_cast<std::size_t>(output) * kChannels);
    }
  }
}

void RowsGroup(const ResampleTable& table, const std::uint8_t* const* sources,
               std::uint8_t* const* outputs) {
  switch (table.pairs()) {
    case 1:
      return RowsPass<1>(table, sources, outputs);
    case 2:
      return RowsPass<2>(table, sources, outputs);
    case 3:
      return RowsPass<3>(table, sources, outputs);
    case 4:
      return RowsPass<4>(table, sources, outputs);
    default:
      return RowsPass<0>(table, sources, outputs);
  }
}

void Rows(const ResampleTable& table, const std::uint8_t* const* sources, int rows,
          std::uint8_t* const* outputs) {
  int done = 0;
  for (; done + kRows <= rows; done += kRows) RowsGroup(table, sources + done, outputs + done);
  if (done == rows) return;
  // The last rows are made again and again to fill the group.
  const std::uint8_t* last_sources[kRows];
  std::uint8_t* last_outputs[kRows];
  for (int i = 0; i < kRows; ++i) {
    last_sources[i] = sources[std::min(done + i, rows - 1)];
    last_outputs[i] = outputs[std::min(done + i, rows - 1)];
  }
  RowsGroup(table, last_sources, last_outputs);
}

// One vector of an output row, `x` bytes from its start.
template <int kPairs>
HWY_INLINE V8 ColumnsVector(const TapPair* coefficients, int pairs,
                            const std::uint8_t* const* sources, std::size_t x) {
  TapSum sums[4];
  const V8 zero = hn::Zero(d8);
  for (int pair = 0; pair < (kPairs == 0 ? pairs : kPairs); ++pair) {
    const V16 high = Broadcast(coefficients[pair].high);
    const V16 low = Broadcast(coefficients[pair].low);
    const V8 upper_row = hn::LoadU(d8, sources[2 * pair] + x);
    const V8 lower_row = hn::LoadU(d8, sources[2 * pair + 1] + x);
    const V8 left = hn::InterleaveLower(d8, upper_row, lower_row);
    const V8 right = hn::InterleaveUpper(d8, upper_row, lower_row);
    sums[0].Add(hn::BitCast(d16, hn::InterleaveLower(d8, left, zero)), high, low);
    sums[1].Add(hn::BitCast(d16, hn::InterleaveUpper(d8, left, zero)), high, low);
    sums[2].Add(hn::BitCast(d16, hn::InterleaveLower(d8, right, zero)), high, low);
    sums[3].Add(hn::BitCast(d16, hn::InterleaveUpper(d8, right, zero)), high, low);
  }
  return PackBlocks(sums[0].Rounded(), sums[1].Rounded(), sums[2].Rounded(), sums[3].Rounded());
}

template <int kPairs>
HWY_INLINE void ColumnsPass(const TapPair* coefficients, int pairs,
                            const std::uint8_t* const* sources, std::size_t bytes,
                            std::uint8_t* out) {
  constexpr std::size_t kStep = kLanes;
  std::size_t x = 0;
  for (; x + kStep <= bytes; x += kStep) {
    hn::StoreU(ColumnsVector<kPairs>(coefficients, pairs, sources, x), d8, out + x);
  }
  if (x == bytes) return;
  if (bytes >= kStep) {
    x = bytes - kStep;  // some pixels twice
    hn::StoreU(ColumnsVector<kPairs>(coefficients, pairs, sources, x), d8, out + x);
    return;
  }
  ResampleColumnsScalar(coefficients, pairs, sources, bytes, out);
}

void Columns(const TapPair* coefficients, int pairs, const std::uint8_t* const* sources,
             std::size_t bytes, std::uint8_t* out) {
  switch (pairs) {
    case 1:
      return ColumnsPass<1>(coefficients, pairs, sources, bytes, out);
    case 2:
      return ColumnsPass<2>(coefficients, pairs, sources, bytes, out);
    case 3:
      return ColumnsPass<3>(coefficients, pairs, sources, bytes, out);
    default:
      return ColumnsPass<0>(coefficients, pairs, sources, bytes, out);
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace
}  // namespace millrace::stages::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::stages {

namespace {

HWY_EXPORT(Rows);
HWY_EXPORT(Columns);

}  // namespace

void ResampleRows(Kernels kernels, const ResampleTable& table, const std::uint8_t* const* sources,
                  int rows, std::uint8_t* const* outputs) {
  if (kernels == Kernels::kScalar) return ResampleRowsScalar(table, sources, rows, outputs);
  HWY_DYNAMIC_DISPATCH(Rows)(table, sources, rows, outputs);
}

void ResampleColumns(Kernels kernels, const TapPair* coefficients, int pairs,
                     const std::uint8_t* const* sources, std::size_t bytes, std::uint8_t* out) {
  if (kernels == Kernels::kScalar) {
    return ResampleColumnsScalar(coefficients, pairs, sources, bytes, out);
  }
  HWY_DYNAMIC_DISPATCH(Columns)(coefficients, pairs, sources, bytes, out);
}

}  // namespace millrace::stages
#endif  // HWY_ONCE
