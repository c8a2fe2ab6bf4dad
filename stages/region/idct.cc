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

bool Samples(const std::int16_t* coefficients, const Quantizers& quantizers, int blocks,
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

// a * weight_a + b * weight_b in 32 bits, of the lower or of the upper half of each block.
template <bool kUpper>
HWY_INLINE V32 Weighted(V16 a, std::int32_t weight_a, V16 b, std::int32_t weight_b) {
  PairSum sum(hn::Zero(d32));
  sum.Add(kUpper ? hn::InterleaveUpper(d16, a, b) : hn::InterleaveLower(d16, a, b),
          Broadcast(static_cast<std::int32_t>(static_cast<std::uint32_t>(weight_a & 0xFFFF) |
                                              static_cast<std::uint32_t>(weight_b) << 16)));
  return sum.Total();
}

// a * 2^13 in 32 bits.
template <bool kUpper>
HWY_INLINE V32 Scaled(V16 a) {
  const V16 zero = hn::Zero(d16);
  return hn::ShiftRight<3>(hn::BitCast(
      d32, kUpper ? hn::InterleaveUpper(d16, zero, a) : hn::InterleaveLower(d16, zero, a)));
}

template <int kShift>
HWY_INLINE V32 Rounded(V32 sum) {
  return hn::ShiftRight<kShift>(hn::Add(sum, hn::Set(d32, 1 << (kShift - 1))));
}

// The 8 results of one half of the blocks' lines.
template <int kShift, bool kUpper>
HWY_INLINE void TransformHalf(const Lines& in, V16 sum04, V16 difference04, V16 sum73, V16 sum51,
                              V32* out) {
  const V16* const line = in.line;
  const V32 even3 = Weighted<kUpper>(line[2], kFix0541 + kFix0765, line[6], kFix0541);
  const V32 even2 = Weighted<kUpper>(line[2], kFix0541, line[6], kFix0541 - kFix1847);
  const V32 even0 = Scaled<kUpper>(sum04);
  const V32 even1 = Scaled<kUpper>(difference04);
  const V32 z3 = Weighted<kUpper>(sum73, kFix1175 - kFix1961, sum51, kFix1175);
  const V32 z4 = Weighted<kUpper>(sum73, kFix1175, sum51, kFix1175 - kFix0390);
  const V32 odd0 = hn::Add(Weighted<kUpper>(line[7], -kFix0899, line[1], kFix1501 - kFix0899), z4);
  const V32 odd1 = hn::Add(Weighted<kUpper>(line[5], -kFix2562, line[3], kFix3072 - kFix2562), z3);
  const V32 odd2 = hn::Add(Weighted<kUpper>(line[5], kFix2053 - kFix2562, line[3], -kFix2562), z4);
  const V32 odd3 = hn::Add(Weighted<kUpper>(line[7], kFix0298 - kFix0899, line[1], -kFix0899), z3);
  const V32 first = hn::Add(even0, even3);
  const V32 second = hn::Add(even1, even2);
  const V32 third = hn::Sub(even1, even2);
  const V32 fourth = hn::Sub(even0, even3);
  out[0] = Rounded<kShift>(hn::Add(first, odd0));
  out[7] = Rounded<kShift>(hn::Sub(first, odd0));
  out[1] = Rounded<kShift>(hn::Add(second, odd1));
  out[6] = Rounded<kShift>(hn::Sub(second, odd1));
  out[2] = Rounded<kShift>(hn::Add(third, odd2));
  out[5] = Rounded<kShift>(hn::Sub(third, odd2));
  out[3] = Rounded<kShift>(hn::Add(fourth, odd3));
  out[4] = Rounded<kShift>(hn::Sub(fourth, odd3));
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

bool Samples(const std::int16_t* coefficients, const Quantizers& quantizers, int blocks,
             std::uint8_t* samples, std::size_t row_bytes) {
  static_assert(kBlocks <= kMostBlocksAtOnce);
  const hn::Repartition<std::int16_t, D8> d;
  const hn::Half<D8> d_out;
  // Of all numbers together: the bits that are not their sign, turned where they are negative.
  V16 magnitudes = hn::Zero(d);
  V16 overflows = hn::Zero(d);  // not zero where a product outgrew 16 bits
  for (int block = 0; block < blocks; block += kBlocks) {
    const std::uint8_t* of_block[kBlocks];
    for (int i = 0; i < kBlocks; ++i) {
      of_block[i] = reinterpret_cast<const std::uint8_t*>(coefficients + i * kSide * kSide);
    }
    Lines lines;
    for (int y = 0; y < kSide; ++y) {
      const V16 line = hn::BitCast(
          d, LoadBlocks(d8, of_block, static_cast<std::size_t>(y) * kSide * sizeof(std::int16_t)));
      const V16 quantizer =
          hn::LoadDup128(d, reinterpret_cast<const std::int16_t*>(quantizers.data()) + y * kSide);
      lines.line[y] = hn::Mul(line, quantizer);
      // Where 16 bits hold the product, its higher ones repeat its sign.
      const V16 sign = hn::ShiftRight<15>(lines.line[y]);
      overflows = hn::Or(overflows, hn::Xor(hn::MulHigh(line, quantizer), sign));
      magnitudes = hn::Or(magnitudes, hn::Xor(lines.line[y], sign));
    }
    Transform<kFirstShift>(&lines);
    for (int y = 0; y < kSide; ++y) {
      const V16 sign = hn::ShiftRight<15>(lines.line[y]);
      magnitudes = hn::Or(magnitudes, hn::Xor(lines.line[y], sign));
    }
    Transpose(&lines);
    Transform<kSecondShift>(&lines);
    Transpose(&lines);
    const V16 middle = hn::Set(d, 128);
    for (int y = 0; y < kSide; ++y) {
      const V16 line = hn::SaturatedAdd(lines.line[y], middle);
      hn::StoreU(hn::DemoteTo(d_out, line), d_out,
                 samples + static_cast<std::size_t>(y) * row_bytes);
    }
    coefficients += kBlocks * kSide * kSide;
    samples += kBlocks * kSide;
  }
  const V16 above = hn::And(magnitudes, hn::Set(d, static_cast<std::int16_t>(-kLimit)));
  return hn::AllTrue(d, hn::Eq(hn::Or(above, overflows), hn::Zero(d)));
}

#endif

}  // namespace
}  // namespace millrace::stages::region::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace millrace::stages::region {

HWY_EXPORT(Samples);

bool InverseDct(Kernels kernels, const std::int16_t* coefficients, const Quantizers& quantizers,
                int blocks, std::uint8_t* samples, std::size_t row_bytes) {
  if (kernels == Kernels::kScalar) {
    return InverseDctScalar(coefficients, quantizers, blocks, samples, row_bytes);
  }
  return HWY_DYNAMIC_DISPATCH(Samples)(coefficients, quantizers, blocks, samples, row_bytes);
}

}  // namespace millrace::stages::region

#endif  // HWY_ONCE
