#include "stages/normalize.h"

#include <bit>
#include <cstdint>

// Vectors of unknown size cannot be members; processors that have them also have NEON.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "stages/normalize.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first.
#include <hwy/cache_control.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace millrace::stages::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;
constexpr DF df;
constexpr hn::RebindToSigned<DF> d32;
constexpr hn::Rebind<std::uint8_t, DF> part8;

// For Write().
bool IsAligned(const void* out) {
  return reinterpret_cast<std::uintptr_t>(out) % (hn::Lanes(df) * sizeof(float)) == 0;
}

// `aligned`: past the caches, which a batch of floats outgrows.
HWY_INLINE void Write(VF values, bool aligned, float* out) {
  if (aligned) {
    hn::Stream(values, df, out);
  } else {
    hn::StoreU(values, df, out);
  }
}

// Half of the last place that stays, less one where that is even: what is above half is carried
// into it. No float but a NaN overflows.
HWY_INLINE void Write(VF values, bool /*aligned*/, std::uint16_t* out) {
  const hn::RebindToUnsigned<DF> du32;
  const hn::Rebind<std::uint16_t, DF> du16;
  const auto bits = hn::BitCast(du32, values);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du32, 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du32, 0x7FFF)));
  const auto high = hn::BitCast(d32, hn::ShiftRight<16>(rounded));
  hn::StoreU(hn::DemoteTo(du16, high), du16, out);
}

// x / divisor: as such, or as x * (its reciprocal + what that lacks), rounded once, which is as
// good as always the same and several times as fast.
template <bool kProducts, typename V>
HWY_INLINE V Quotient(V x, V divisor, V rest) {
  if constexpr (kProducts) {
    return hn::MulAdd(x, divisor, hn::Mul(x, rest));
  } else {
    return hn::Div(x, divisor);
  }
}

// The statistics of as many values as a vector has lanes, from value `first` of a picture on; each
// channel's in all of them with `stride` 0.
template <bool kProducts>
class Normalizer {
 public:
  HWY_INLINE Normalizer(const ChannelStatistics& statistics, std::size_t first, std::size_t stride)
      : top_(hn::Set(df, Divisor(255.0f))), top_rest_(hn::Set(df, Rest(255.0f))) {
    HWY_ALIGN float means[hn::MaxLanes(df)];
    HWY_ALIGN float divisors[hn::MaxLanes(df)];
    HWY_ALIGN float rests[hn::MaxLanes(df)];
    for (std::size_t i = 0; i < hn::Lanes(df); ++i) {
      const std::size_t channel = (first + i * stride) % kChannels;
      means[i] = statistics.mean[channel];
      divisors[i] = Divisor(statistics.std[channel]);
      rests[i] = Rest(statistics.std[channel]);
    }
    mean_ = hn::Load(df, means);
    std_ = hn::Load(df, divisors);
    std_rest_ = hn::Load(df, rests);
  }

  HWY_INLINE VF operator()(VF value) const {
    const VF unit = Quotient<kProducts>(value, top_, top_rest_);
    return Quotient<kProducts>(hn::Sub(unit, mean_), std_, std_rest_);
  }

  HWY_INLINE VF operator()(const std::uint8_t* bytes) const {
    return (*this)(hn::ConvertTo(df, hn::PromoteTo(d32, hn::LoadU(part8, bytes))));
  }

 private:
  static float Divisor(float number) { return kProducts ? 1.0f / number : number; }
  static float Rest(float number) {
    return static_cast<float>(1.0 / number - static_cast<double>(1.0f / number));
  }

  VF top_;
  VF top_rest_;
  VF mean_;
  VF std_;
  VF std_rest_;
};

// Whether products give what divisions do: of every byte in every channel.
bool ProductsAreQuotients(const ChannelStatistics& statistics) {
  if (!HWY_NATIVE_FMA) return false;  // they would be rounded twice
  for (std::size_t channel = 0; channel < kChannels; ++channel) {
    const Normalizer<true> product(statistics, channel, 0);
    const Normalizer<false> quotient(statistics, channel, 0);
    for (int first = 0; first < 256; first += static_cast<int>(hn::Lanes(df))) {
      const VF value = hn::ConvertTo(df, hn::Iota(d32, first));
      const auto differ =
          hn::Ne(hn::BitCast(d32, product(value)), hn::BitCast(d32, quotient(value)));
      if (!hn::AllFalse(d32, differ)) return false;
    }
  }
  return true;
}

// As many pixels at a time as a vector has lanes: channels then lie alike in every step. Returns
// how many pixels were done.
template <bool kProducts, typename Out>
std::size_t NormalizeVectors(const std::uint8_t* nhwc, std::size_t pixels,
                             const ChannelStatistics& statistics, Out* out) {
  const std::size_t lanes = hn::Lanes(df);
  const Normalizer<kProducts> first(statistics, 0, 1);
  const Normalizer<kProducts> second(statistics, lanes, 1);
  const Normalizer<kProducts> third(statistics, 2 * lanes, 1);
  const bool aligned = IsAligned(out);
  std::size_t done = 0;
  for (; done + lanes <= pixels; done += lanes, nhwc += kChannels * lanes) {
    Write(first(nhwc), aligned, out);
    Write(second(nhwc + lanes), aligned, out + lanes);
    Write(third(nhwc + 2 * lanes), aligned, out + 2 * lanes);
    out += kChannels * lanes;
  }
  return done;
}

// The same to three planes of `pixels` values.
template <bool kProducts, typename Out>
std::size_t NormalizeToPlanes(const std::uint8_t* nhwc, std::size_t pixels,
                              const ChannelStatistics& statistics, Out* out) {
  const hn::ScalableTag<std::uint8_t> d8;
  const std::size_t together = hn::Lanes(d8);
  const Normalizer<kProducts> normalizers[kChannels] = {
      {statistics, 0, 0}, {statistics, 1, 0}, {statistics, 2, 0}};
  const bool aligned = IsAligned(out) && IsAligned(out + pixels);
  HWY_ALIGN std::uint8_t planes[kChannels][hn::MaxLanes(d8)];
  std::size_t done = 0;
  for (; done + together <= pixels; done += together) {
    hn::Vec<decltype(d8)> first;
    hn::Vec<decltype(d8)> second;
    hn::Vec<decltype(d8)> third;
    hn::LoadInterleaved3(d8, nhwc + done * kChannels, first, second, third);
    hn::Store(first, d8, planes[0]);
    hn::Store(second, d8, planes[1]);
    hn::Store(third, d8, planes[2]);
    for (std::size_t channel = 0; channel < kChannels; ++channel) {
      for (std::size_t lane = 0; lane < together; lane += hn::Lanes(df)) {
        Write(normalizers[channel](planes[channel] + lane), aligned,
              out + channel * pixels + done + lane);
      }
    }
  }
  return done;
}

template <bool kProducts, typename Out>
std::size_t NormalizeAs(const std::uint8_t* nhwc, std::size_t pixels,
                        const ChannelStatistics& statistics, Layout layout, Out* out) {
  return layout == Layout::kNhwc ? NormalizeVectors<kProducts>(nhwc, pixels, statistics, out)
                                 : NormalizeToPlanes<kProducts>(nhwc, pixels, statistics, out);
}

template <typename Out>
std::size_t NormalizeTo(const std::uint8_t* nhwc, std::size_t pixels,
                        const ChannelStatistics& statistics, Layout layout, Out* out) {
  const std::size_t done = ProductsAreQuotients(statistics)
                               ? NormalizeAs<true>(nhwc, pixels, statistics, layout, out)
                               : NormalizeAs<false>(nhwc, pixels, statistics, layout, out);
  hwy::FlushStream();  // so that other threads see it once they see what this one does next
  return done;
}

std::size_t ToFloat(const std::uint8_t* nhwc, std::size_t pixels,
                    const ChannelStatistics& statistics, Layout layout, float* out) {
  return NormalizeTo(nhwc, pixels, statistics, layout, out);
}

std::size_t ToBfloat16(const std::uint8_t* nhwc, std::size_t pixels,
                       const ChannelStatistics& statistics, Layout layout, std::uint16_t* out) {
  return NormalizeTo(nhwc, pixels, statistics, layout, out);
}

}  // namespace
}  // namespace millrace::stages::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::stages {

namespace {
HWY_EXPORT(ToFloat);
HWY_EXPORT(ToBfloat16);

// The scalar twin, for the pixels from `pixel` on.
template <typename Write>
void NormalizeRest(const std::uint8_t* nhwc, std::size_t pixel, std::size_t pixels,
                   const ChannelStatistics& statistics, Layout layout, const Write& write) {
  for (; pixel < pixels; ++pixel) {
    for (std::size_t channel = 0; channel < kChannels; ++channel) {
      const std::size_t in = pixel * kChannels + channel;
      write(layout == Layout::kNhwc ? in : channel * pixels + pixel,
            (static_cast<float>(nhwc[in]) / 255.0f - statistics.mean[channel]) /
                statistics.std[channel]);
    }
  }
}

std::uint16_t RoundToBfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}
}  // namespace

void Normalize(Kernels kernels, const std::uint8_t* nhwc, std::size_t pixels,
               const ChannelStatistics& statistics, Layout layout, float* out) {
  std::size_t done = 0;
  if (kernels == Kernels::kSimd) {
    done = HWY_DYNAMIC_DISPATCH(ToFloat)(nhwc, pixels, statistics, layout, out);
  }
  NormalizeRest(nhwc, done, pixels, statistics, layout,
                [&](std::size_t i, float value) { out[i] = value; });
}

void NormalizeToBfloat16(Kernels kernels, const std::uint8_t* nhwc, std::size_t pixels,
                         const ChannelStatistics& statistics, Layout layout, std::uint16_t* out) {
  std::size_t done = 0;
  if (kernels == Kernels::kSimd) {
    done = HWY_DYNAMIC_DISPATCH(ToBfloat16)(nhwc, pixels, statistics, layout, out);
  }
  NormalizeRest(nhwc, done, pixels, statistics, layout,
                [&](std::size_t i, float value) { out[i] = RoundToBfloat16(value); });
}

}  // namespace millrace::stages
#endif  // HWY_ONCE
