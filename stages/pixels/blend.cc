#include "stages/pixels/blend.h"

// Vectors of unknown size: the loop below needs none of known size, but its neighbours do.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "stages/pixels/blend.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace millrace::stages::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

void BlendValues(const std::uint8_t* from, float factor, std::uint8_t* values, std::size_t count) {
  const hn::ScalableTag<float> df;
  const hn::RebindToSigned<decltype(df)> d32;
  const hn::Rebind<std::uint8_t, decltype(df)> d8;
  const std::size_t lanes = hn::Lanes(df);
  const auto low = hn::Zero(df);
  const auto high = hn::Set(df, 255.0f);
  const auto share = hn::Set(df, factor);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto first = hn::PromoteTo(d32, hn::LoadU(d8, from + i));
    const auto second = hn::PromoteTo(d32, hn::LoadU(d8, values + i));
    // Not a fused multiply-add, which would round once where the reference rounds twice.
    const auto part = hn::Mul(share, hn::ConvertTo(df, hn::Sub(second, first)));
    const auto sum = hn::Add(hn::ConvertTo(df, first), part);
    const auto whole = hn::ConvertTo(d32, hn::Min(hn::Max(sum, low), high));
    hn::StoreU(hn::DemoteTo(d8, whole), d8, values + i);
  }
  for (; i < count; ++i) values[i] = BlendValue(from[i], values[i], factor);
}

}  // namespace
}  // namespace millrace::stages::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::stages {
namespace {

HWY_EXPORT(BlendValues);

}  // namespace

void Blend(const std::uint8_t* from, float factor, std::uint8_t* values, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(BlendValues)(from, factor, values, count);
}

}  // namespace millrace::stages
#endif  // HWY_ONCE
