#include "stages/region/color.h"

#include <array>

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

// (a * weight + half) / 2^16, rounded down: the upper half of the product and the carry out of the
// lower one.
HWY_INLINE V16 Weighted(V16 a, std::int32_t weight) {
  const V16 weights = hn::Set(d16, static_cast<std::int16_t>(weight));
  const hn::Repartition<std::uint16_t, D16> d_unsigned;
  const V16 carry =
      hn::BitCast(d16, hn::ShiftRight<15>(hn::BitCast(d_unsigned, hn::Mul(a, weights))));
  return hn::Add(hn::MulHigh(a, weights), carry);
}

#if HWY_TARGET == HWY_AVX3_DL

// Where the bytes of kSamples pixels are in two vectors: red and green, eight of each in turn, and
// blue, eight in every block.
alignas(64) constexpr std::array<std::uint8_t, 128> kRgb = [] {
  std::array<std::uint8_t, 128> places{};
  for (std::uint8_t i = 0; i < kSamples * kChannels; ++i) {
    const int pixel = i / kChannels;
    const int channel = i % kChannels;
    places[i] =
        static_cast<std::uint8_t>(pixel / 8 * 16 + pixel % 8 + std::array{0, 8, 64}[channel]);
  }
  return places;
}();

HWY_INLINE void StoreRgb(V16 red, V16 green, V16 blue, std::uint8_t* rgb) {
  const __m512i red_green = _mm512_packus_epi16(red.raw, green.raw);
  const __m512i blue_blue = _mm512_packus_epi16(blue.raw, blue.raw);
  const V8 first =
      V8{_mm512_permutex2var_epi8(red_green, hn::Load(d8, kRgb.data()).raw, blue_blue)};
  const V8 last =
      V8{_mm512_permutex2var_epi8(red_green, hn::Load(d8, kRgb.data() + 64).raw, blue_blue)};
  hn::StoreU(first, d8, rgb);
  hn::StoreU(hn::LowerHalf(d_samples, last), d_samples, rgb + 64);
}

#else

HWY_INLINE void StoreRgb(V16 red, V16 green, V16 blue, std::uint8_t* rgb) {
  hn::StoreInterleaved3(hn::DemoteTo(d_samples, red), hn::DemoteTo(d_samples, green),
                        hn::DemoteTo(d_samples, blue), d_samples, rgb);
}

#endif

HWY_INLINE void ConvertSamples(const std::uint8_t* luma, const std::uint8_t* blue,
                               const std::uint8_t* red, std::uint8_t* rgb) {
  const V16 middle = hn::Set(d16, 128);
  const V16 y = Load(luma);
  const V16 cb = hn::Sub(Load(blue), middle);
  const V16 cr = hn::Sub(Load(red), middle);
  const V16 r = hn::Add(hn::Add(y, cr), Weighted(cr, kRedOfRed));
  const V16 g = hn::Add(hn::Sub(y, cr), Weighted(cb, kGreenOfBlue, cr, kGreenOfRed));
  const V16 b = hn::Add(hn::Add(y, hn::Add(cb, cb)), Weighted(cb, kBlueOfBlue));
  StoreRgb(r, g, b, rgb);
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
