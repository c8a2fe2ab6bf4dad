#include "stages/region/idct.h"

#include "stages/region/idct_scalar.h"

// Vectors of unknown size cannot be array elements; processors that have them also have NEON.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "stages/region/idct.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first.
#include <hwy/highway.h>

#include "stages/row_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::stages::region::HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR

bool Samples(std::int16_t* coefficients, const Quantizers& quantizers, int blocks,
             std::uint8_t* samples, std::size_t row_bytes) {
  return InverseDctScalar(coefficients, quantizers, blocks, samples, row_bytes);
}

#else

using namespace stages::HWY_NAMESPACE;  // NOLINT(google-build-using-namespace): row_blocks-inl.h

constexpr int kSide = 8;

// A row (or column) of 8 numbers of each of kBlocks blocks, 8 of them.
struct Lines {
  V16 line[kSide];
};

HWY_INLINE V16 Weights(std::int32_t a, std::int32_t b) {
  return Broadcast(static_cast<std::int32_t>(static_cast<std::uint32_t>(a & 0xFFFF) |
                                             static_cast<std::uint32_t>(b) << 16));
}

// The lower or the upper halves of each block of a and b, in pairs.
template <bool kUpper>
HWY_INLINE V16 Pairs(V16 a, V16 b) {
  return kUpper ? hn::InterleaveUpper(d16, a, b) : hn::InterleaveLower(d16, a, b);
}

// a * weight_a + b * weight_b in 32 bits of such pairs.
HWY_INLINE V32 Weighted(V16 pairs, std::int32_t weight_a, std::int32_t weight_b) {
  return PairProducts(pairs, Weights(weight_a, weight_b));
}
HWY_INLINE V32 Weighted(V32 start, V16 pairs, std::int32_t weight_a, std::int32_t weight_b) {
  PairSum sum(start);
  sum.Add(pairs, Weights(weight_a, weight_b));
  return sum.Total();
}

// a * 2^13 in 32 bits.
template <bool kUpper>
HWY_INLINE V32 Scaled(V16 a) {
  const V16 zero = hn::Zero(d16);
  return hn::ShiftRight<3>(hn::BitCast(
      d32, kUpper ? hn::InterleaveUpper(d16, zero, a) : hn::InterleaveLower(d16, zero, a)));
}

// The 8 results of one half of the blocks' lines.
template <int kShift, bool kUpper>
HWY_INLINE void TransformHalf(const Lines& in, V16 sum04, V16 difference04, V16 sum73, V16 sum51,
                              V32* out) {
  const V16* const line = in.line;
  const V16 pairs26 = Pairs<kUpper>(line[2], line[6]);
  const V16 pairs71 = Pairs<kUpper>(line[7], line[1]);
  const V16 pairs53 = Pairs<kUpper>(line[5], line[3]);
  const V16 pairs_sums = Pairs<kUpper>(sum73, sum51);
  const V32 even3 = Weighted(pairs26, kFix0541 + kFix0765, kFix0541);
  const V32 even2 = Weighted(pairs26, kFix0541, kFix0541 - kFix1847);
  // What rounds the results is part of them from the start.
  const V32 half = hn::Set(d32, 1 << (kShift - 1));
  const V32 even0 = hn::Add(Scaled<kUpper>(sum04), half);
  const V32 even1 = hn::Add(Scaled<kUpper>(difference04), half);
  const V32 z3 = Weighted(pairs_sums, kFix1175 - kFix1961, kFix1175);
  const V32 z4 = Weighted(pairs_sums, kFix1175, kFix1175 - kFix0390);
  const V32 odd0 = Weighted(z4, pairs71, -kFix0899, kFix1501 - kFix0899);
  const V32 odd1 = Weighted(z3, pairs53, -kFix2562, kFix3072 - kFix2562);
  const V32 odd2 = Weighted(z4, pairs53, kFix2053 - kFix2562, -kFix2562);
  const V32 odd3 = Weighted(z3, pairs71, kFix0298 - kFix0899, -kFix0899);
  const V32 first = hn::Add(even0, even3);
  const V32 second = hn::Add(even1, even2);
  const V32 third = hn::Sub(even1, even2);
  const V32 fourth = hn::Sub(even0, even3);
  out[0] = hn::ShiftRight<kShift>(hn::Add(first, odd0));
  out[7] = hn::ShiftRight<kShift>(hn::Sub(first, odd0));
  out[1] = hn::ShiftRight<kShift>(hn::Add(second, odd1));
  out[6] = hn::ShiftRight<kShift>(hn::Sub(second, odd1));
  out[2] = hn::ShiftRight<kShift>(hn::Add(third, odd2));
  out[5] = hn::ShiftRight<kShift>(hn::Sub(third, odd2));
  out[3] = hn::ShiftRight<kShift>(hn::Add(fourth, odd3));
  out[4] = hn::ShiftRight<kShift>(hn::Sub(fourth, odd3));
}

template <int kShift>
HWY_INLINE void Transform(Lines* lines) {
  V16* const line = lines->line;
  const V16 sum04 = hn::Add(line[0], line[4]);
  const V16 difference04 = hn::Sub(line[0], line[4]);
  const V16 sum73 = hn::Add(line[7], line[3]);
  const V16 sum51 = hn::Add(line[5], line[1]);
  V32 lower[kSide];
  V32 upper[kSide];
  TransformHalf<kShift, false>(*lines, sum04, difference04, sum73, sum51, lower);
  TransformHalf<kShift, true>(*lines, sum04, difference04, sum73, sum51, upper);
  for (int i = 0; i < kSide; ++i) line[i] = hn::ReorderDemote2To(d16, lower[i], upper[i]);
}

// Rows become columns, in each block: three times the shuffle that puts both halves of the lines
// side by side.
HWY_INLINE void Transpose(Lines* lines) {
  for (int round = 0; round < 3; ++round) {
    V16 shuffled[kSide];
    for (int i = 0; i < kSide / 2; ++i) {
      shuffled[2 * i] = hn::InterleaveLower(d16, lines->line[i], lines->line[i + kSide / 2]);
      shuffled[2 * i + 1] = hn::InterleaveUpper(d16, lines->line[i], lines->line[i + kSide / 2]);
    }
    for (int i = 0; i < kSide; ++i) lines->line[i] = shuffled[i];
  }
}

bool Samples(std::int16_t* coefficients, const Quantizers& quantizers, int blocks,
             std::uint8_t* samples, std::size_t row_bytes) {
  static_assert(kGroupBlocks % kBlocks == 0);
  const hn::Repartition<std::int16_t, D8> d;
  const hn::Half<D8> d_out;
  V16 magnitudes = hn::Zero(d);  // the bits of all numbers between the passes, without signs
  const hn::Repartition<std::uint16_t, D8> d_unsigned;
  auto beyond = hn::Zero(d_unsigned);  // not zero where a product is beyond the limit
  const std::int16_t* const end = coefficients + PlaceOfBlock(InWholeGroups(blocks));
  int in_group = 0;  // of the next block
  while (coefficients != end) {
    Lines lines;
    for (int y = 0; y < kSide; ++y) {
      std::int16_t* const of_line = coefficients + (y * kGroupBlocks + in_group) * kSide;
      const V16 line = hn::LoadU(d, of_line);
      hn::StoreU(hn::Zero(d), d, of_line);
      const V16 quantizer =
          hn::LoadDup128(d, reinterpret_cast<const std::int16_t*>(quantizers.data()) + y * kSide);
      lines.line[y] = hn::Mul(line, quantizer);
      // The bits of the product from the limit on; a quantizer of 8 bits leaves room.
      static_assert(kLimit == 1 << 13);
      const auto shifted = hn::BitCast(d_unsigned, hn::ShiftLeft<3>(quantizer));
      beyond = hn::Or(beyond, hn::MulHigh(hn::BitCast(d_unsigned, hn::Abs(line)), shifted));
    }
    Transform<kFirstShift>(&lines);
    for (const V16& line : lines.line) magnitudes = hn::Or(magnitudes, hn::Abs(line));
    Transpose(&lines);
    Transform<kSecondShift>(&lines);
    Transpose(&lines);
    const V16 middle = hn::Set(d, 128);
    for (int y = 0; y < kSide; ++y) {
      const V16 line = hn::SaturatedAdd(lines.line[y], middle);
      hn::StoreU(hn::DemoteTo(d_out, line), d_out,
                 samples + static_cast<std::size_t>(y) * row_bytes);
    }
    samples += kBlocks * kSide;
    in_group = (in_group + kBlocks) % kGroupBlocks;
    if (in_group == 0) coefficients += PlaceOfBlock(kGroupBlocks);
  }
  const V16 above = hn::And(magnitudes, hn::Set(d, static_cast<std::int16_t>(-kLimit)));
  return hn::AllTrue(d, hn::Eq(hn::Or(above, hn::BitCast(d, beyond)), hn::Zero(d)));
}

#endif

}  // namespace
}  // namespace millrace::stages::region::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace millrace::stages::region {

HWY_EXPORT(Samples);

bool InverseDct(Kernels kernels, std::int16_t* coefficients, const Quantizers& quantizers,
                int blocks, std::uint8_t* samples, std::size_t row_bytes) {
  if (kernels == Kernels::kScalar) {
    return InverseDctScalar(coefficients, quantizers, blocks, samples, row_bytes);
  }
  return HWY_DYNAMIC_DISPATCH(Samples)(coefficients, quantizers, blocks, samples, row_bytes);
}

}  // namespace millrace::stages::region

#endif  // HWY_ONCE
