#include "stages/region/color.h"

#include "stages/image.h"
#include "stages/region/color_scalar.h"

// Vectors of unknown size cannot be array elements; processors that have them also have NEON.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "stages/region/color.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first.
#include <hwy/highway.h>

#include "stages/row_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::stages::region::HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR

void Interpolate(Sampling sampling, const ChromaRow& row, int count, std::uint8_t* out) {
  InterpolateChromaScalar(sampling, row, count, out);
}

void Convert(const std::uint8_t* luma, const std::uint8_t* blue, const std::uint8_t* red, int count,
             std::uint8_t* rgb) {
  ConvertRowScalar(luma, blue, red, count, rgb);
}

#else

using namespace stages::HWY_NAMESPACE;  // NOLINT(google-build-using-namespace): row_blocks-inl.h

constexpr hn::Half<D8> d_samples;  // as many as there are lanes of 16 bits
constexpr int kSamples = static_cast<int>(hn::MaxLanes(hn::Half<D8>()));

HWY_INLINE V16 Load(const std::uint8_t* from) {
  return hn::PromoteTo(d16, hn::LoadU(d_samples, from));
}

HWY_INLINE V16 ThreeAndOne(V16 three, V16 one) {
  return hn::Add(hn::Add(three, hn::Add(three, three)), one);
}

template <bool kDown>
HWY_INLINE V16 Column(const ChromaRow& row, int i) {
  const V16 near = Load(row.near + i);
  return kDown ? ThreeAndOne(near, Load(row.far + i)) : near;
}

// Both rows of samples, or one, to twice as many.
template <bool kDown>
HWY_INLINE void Double(const ChromaRow& row, int count, std::uint8_t* out) {
  constexpr int kShift = kDown ? 4 : 2;
  const V16 even_half = hn::Set(d16, kDown ? 8 : 1);
  const V16 odd_half = hn::Set(d16, kDown ? 7 : 2);
  for (int i = 0; i < count; i += kSamples) {
    const V16 here = Column<kDown>(row, i);
    const V16 even =
        hn::ShiftRight<kShift>(hn::Add(ThreeAndOne(here, Column<kDown>(row, i - 1)), even_half));
    const V16 odd =
        hn::ShiftRight<kShift>(hn::Add(ThreeAndOne(here, Column<kDown>(row, i + 1)), odd_half));
    hn::StoreU(hn::BitCast(d8, hn::Or(even, hn::ShiftLeft<8>(odd))), d8, out + 2 * i);
  }
}

void Interpolate(Sampling sampling, const ChromaRow& row, int count, std::uint8_t* out) {
  switch (sampling) {
    case Sampling::k444:
      return;
    case Sampling::k440: {
      const V16 half = hn::Set(d16, row.is_lower ? 2 : 1);
      for (int i = 0; i < count; i += kSamples) {
        const V16 sum = hn::ShiftRight<2>(hn::Add(Column<true>(row, i), half));
        hn::StoreU(hn::DemoteTo(d_samples, sum), d_samples, out + i);
      }
      return;
    }
    case Sampling::k422:
      return Double<false>(row, count, out);
    case Sampling::k420:
      return Double<true>(row, count, out);
  }
}

// (a * weight_a + b * weight_b + half) / 2^16, rounded down, of pairs.
HWY_INLINE V32 Shifted(V16 pairs, std::int32_t weight_a, std::int32_t weight_b, std::int32_t half) {
  PairSum sum(hn::Set(d32, half));
  sum.Add(pairs, Broadcast(static_cast<std::int32_t>(static_cast<std::uint32_t>(weight_a & 0xFFFF) |
                                                     static_cast<std::uint32_t>(weight_b) << 16)));
  return hn::ShiftRight<16>(sum.Total());
}

HWY_INLINE V16 Weighted(V16 a, std::int32_t weight_a, V16 b, std::int32_t weight_b) {
  constexpr std::int32_t kHalf = 32768;
  return hn::ReorderDemote2To(d16,
                              Shifted(hn::InterleaveLower(d16, a, b), weight_a, weight_b, kHalf),
                              Shifted(hn::InterleaveUpper(d16, a, b), weight_a, weight_b, kHalf));
}

HWY_INLINE void ConvertSamples(const std::uint8_t* luma, const std::uint8_t* blue,
                               const std::uint8_t* red, std::uint8_t* rgb) {
  const V16 middle = hn::Set(d16, 128);
  const V16 y = Load(luma);
  const V16 cb = hn::Sub(Load(blue), middle);
  const V16 cr = hn::Sub(Load(red), middle);
  const V16 zero = hn::Zero(d16);
  const V16 r = hn::Add(hn::Add(y, cr), Weighted(cr, kRedOfRed, zero, 0));
  const V16 g = hn::Add(hn::Sub(y, cr), Weighted(cb, kGreenOfBlue, cr, kGreenOfRed));
  const V16 b = hn::Add(hn::Add(y, hn::Add(cb, cb)), Weighted(cb, kBlueOfBlue, zero, 0));
  hn::StoreInterleaved3(hn::DemoteTo(d_samples, r), hn::DemoteTo(d_samples, g),
                        hn::DemoteTo(d_samples, b), d_samples, rgb);
}

void Convert(const std::uint8_t* luma, const std::uint8_t* blue, const std::uint8_t* red, int count,
             std::uint8_t* rgb) {
  if (count < kSamples) return ConvertRowScalar(luma, blue, red, count, rgb);
  for (int i = 0; i < count; i += kSamples) {
    // The last ones are made again with some before them.
    const int from = i + kSamples <= count ? i : count - kSamples;
    ConvertSamples(luma + from, blue + from, red + from, rgb + from * kChannels);
  }
}

#endif

}  // namespace
}  // namespace millrace::stages::region::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace millrace::stages::region {

HWY_EXPORT(Interpolate);
HWY_EXPORT(Convert);

void InterpolateChroma(Kernels kernels, Sampling sampling, const ChromaRow& row, int count,
                       std::uint8_t* out) {
  if (kernels == Kernels::kScalar) return InterpolateChromaScalar(sampling, row, count, out);
  HWY_DYNAMIC_DISPATCH(Interpolate)(sampling, row, count, out);
}

void ConvertRow(Kernels kernels, const std::uint8_t* luma, const std::uint8_t* blue,
                const std::uint8_t* red, int count, std::uint8_t* rgb) {
  if (kernels == Kernels::kScalar) return ConvertRowScalar(luma, blue, red, count, rgb);
  HWY_DYNAMIC_DISPATCH(Convert)(luma, blue, red, count, rgb);
}

}  // namespace millrace::stages::region

#endif  // HWY_ONCE
