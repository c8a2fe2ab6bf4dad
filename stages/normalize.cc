#include "stages/normalize.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "stages/normalize.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace millrace::stages::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// As many pixels at a time as a vector has lanes: channels then lie alike in every step. Returns
// how many pixels were done.
std::size_t NormalizeVectors(const std::uint8_t* nhwc, std::size_t pixels,
                             const ChannelStatistics& statistics, float* out) {
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
      hn::StoreU(hn::Div(hn::Sub(unit, hn::Load(df, means + lane)), hn::Load(df, stds + lane)), df,
                 out + done * kChannels + lane);
    }
  }
  return done;
}

}  // namespace
}  // namespace millrace::stages::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::stages {

namespace {
HWY_EXPORT(NormalizeVectors);
}  // namespace

void Normalize(Kernels kernels, const std::uint8_t* nhwc, std::size_t pixels,
               const ChannelStatistics& statistics, float* out) {
  std::size_t pixel = 0;
  if (kernels == Kernels::kSimd) {
    pixel = HWY_DYNAMIC_DISPATCH(NormalizeVectors)(nhwc, pixels, statistics, out);
  }
  for (; pixel < pixels; ++pixel) {
    for (std::size_t channel = 0; channel < kChannels; ++channel) {
      const std::size_t i = pixel * kChannels + channel;
      out[i] = (static_cast<float>(nhwc[i]) / 255.0f - statistics.mean[channel]) /
               statistics.std[channel];
    }
  }
}

}  // namespace millrace::stages
#endif  // HWY_ONCE
