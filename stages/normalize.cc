#include "stages/normalize.h"

#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "stages/normalize.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace millrace::stages::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <typename D>
void Write(D df, hn::Vec<D> values, float* out) {
  hn::StoreU(values, df, out);
}

// Half of the last place that stays, less one where that is even: what is above half is carried
// into it. No float but a NaN overflows.
template <typename D>
void Write(D /*df*/, hn::Vec<D> values, std::uint16_t* out) {
  const hn::RebindToUnsigned<D> du32;
  const hn::RebindToSigned<D> d32;
  const hn::Rebind<std::uint16_t, D> du16;
  const auto bits = hn::BitCast(du32, values);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du32, 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du32, 0x7FFF)));
  const auto high = hn::BitCast(d32, hn::ShiftRight<16>(rounded));
  hn::StoreU(hn::DemoteTo(du16, high), du16, out);
}

// As many pixels at a time as a vector has lanes: channels then lie alike in every step. Returns
// how many pixels were done.
template <typename Out>
std::size_t NormalizeVectors(const std::uint8_t* nhwc, std::size_t pixels,
                             const ChannelStatistics& statistics, Out* out) {
  const hn::ScalableTag<float> df;
  const hn::RebindToSigned<decltype(df)> d32;
  const hn::Rebind<std::uint8_t, decltype(df)> d8;
  const std::size_t lanes = hn::Lanes(df);
  HWY_ALIGN float means[kChannels * hn::MaxLanes(df)];
  HWY_ALIGN float stds[kChannels * hn::MaxLanes(df)];
  for (std::size_t i = 0; i < kChannels * lanes; ++i) {
    means[i] = statistics.mean[i % kChannels];
    stds[i] = statistics.std[i % kChannels];
  }
  const auto top = hn::Set(df, 255.0f);
  std::size_t done = 0;
  for (; done + lanes <= pixels; done += lanes) {
    for (std::size_t part = 0; part < kChannels; ++part) {
      const std::size_t lane = part * lanes;
      const auto bytes = hn::LoadU(d8, nhwc + done * kChannels + lane);
      const auto unit = hn::Div(hn::ConvertTo(df, hn::PromoteTo(d32, bytes)), top);
      Write(df, hn::Div(hn::Sub(unit, hn::Load(df, means + lane)), hn::Load(df, stds + lane)),
            out + done * kChannels + lane);
    }
  }
  return done;
}

// The same to three planes of `pixels` values.
template <typename Out>
std::size_t NormalizeToPlanes(const std::uint8_t* nhwc, std::size_t pixels,
                              const ChannelStatistics& statistics, Out* out) {
  const hn::ScalableTag<std::uint8_t> d8;
  const hn::ScalableTag<float> df;
  const hn::RebindToSigned<decltype(df)> d32;
  const hn::Rebind<std::uint8_t, decltype(df)> part8;
  const std::size_t together = hn::Lanes(d8);
  HWY_ALIGN std::uint8_t planes[kChannels][hn::MaxLanes(d8)];
  const auto top = hn::Set(df, 255.0f);
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
      const auto mean = hn::Set(df, statistics.mean[channel]);
      const auto std = hn::Set(df, statistics.std[channel]);
      for (std::size_t lane = 0; lane < together; lane += hn::Lanes(df)) {
        const auto bytes = hn::LoadU(part8, planes[channel] + lane);
        const auto unit = hn::Div(hn::ConvertTo(df, hn::PromoteTo(d32, bytes)), top);
        Write(df, hn::Div(hn::Sub(unit, mean), std), out + channel * pixels + done + lane);
      }
    }
  }
  return done;
}

template <typename Out>
std::size_t NormalizeTo(const std::uint8_t* nhwc, std::size_t pixels,
                        const ChannelStatistics& statistics, Layout layout, Out* out) {
  return layout == Layout::kNhwc ? NormalizeVectors(nhwc, pixels, statistics, out)
                                 : NormalizeToPlanes(nhwc, pixels, statistics, out);
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
