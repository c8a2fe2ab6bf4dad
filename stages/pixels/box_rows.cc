#include "stages/pixels/box_rows.h"

// As in stages/pixels/blend.cc.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "stages/pixels/box_rows.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace millrace::stages::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D32 = hn::ScalableTag<std::uint32_t>;
constexpr D32 d32;
constexpr hn::Rebind<std::uint8_t, D32> d8;

HWY_INLINE hn::Vec<D32> Load(const std::uint8_t* values) {
  return hn::PromoteTo(d32, hn::LoadU(d8, values));
}

void Slide(const std::uint8_t* added, const std::uint8_t* removed, std::size_t count,
           std::uint32_t* sums) {
  std::size_t i = 0;
  if (removed == nullptr) {
    for (; i + hn::Lanes(d32) <= count; i += hn::Lanes(d32)) {
      hn::StoreU(hn::Add(hn::LoadU(d32, sums + i), Load(added + i)), d32, sums + i);
    }
    for (; i < count; ++i) sums[i] += added[i];
    return;
  }
  for (; i + hn::Lanes(d32) <= count; i += hn::Lanes(d32)) {
    const auto change = hn::Sub(Load(added + i), Load(removed + i));
    hn::StoreU(hn::Add(hn::LoadU(d32, sums + i), change), d32, sums + i);
  }
  for (; i < count; ++i) sums[i] += static_cast<std::uint32_t>(added[i]) - removed[i];
}

void Weigh(const BoxWeights& weights, const std::uint32_t* sums, const std::uint8_t* before,
           const std::uint8_t* after, std::size_t count, std::uint8_t* out) {
  const hn::RebindToSigned<D32> signed32;
  const auto whole = hn::Set(d32, weights.whole);
  const auto part = hn::Set(d32, weights.part);
  const auto half = hn::Set(d32, 1u << 23);
  std::size_t i = 0;
  for (; i + hn::Lanes(d32) <= count; i += hn::Lanes(d32)) {
    const auto within = hn::Mul(hn::LoadU(d32, sums + i), whole);
    const auto beside = hn::Mul(hn::Add(Load(before + i), Load(after + i)), part);
    const auto mean = hn::ShiftRight<24>(hn::Add(hn::Add(within, beside), half));
    hn::StoreU(hn::DemoteTo(d8, hn::BitCast(signed32, mean)), d8, out + i);
  }
  for (; i < count; ++i) {
    const auto beside = static_cast<std::uint32_t>(before[i] + after[i]);
    out[i] = static_cast<std::uint8_t>(
        (sums[i] * weights.whole + beside * weights.part + (1u << 23)) >> 24);
  }
}

}  // namespace
}  // namespace millrace::stages::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::stages {
namespace {

HWY_EXPORT(Slide);
HWY_EXPORT(Weigh);

}  // namespace

void SlideBox(const std::uint8_t* added, const std::uint8_t* removed, std::size_t count,
              std::uint32_t* sums) {
  HWY_DYNAMIC_DISPATCH(Slide)(added, removed, count, sums);
}

void WeighBox(const BoxWeights& weights, const std::uint32_t* sums, const std::uint8_t* before,
              const std::uint8_t* after, std::size_t count, std::uint8_t* out) {
  HWY_DYNAMIC_DISPATCH(Weigh)(weights, sums, before, after, count, out);
}

}  // namespace millrace::stages
#endif  // HWY_ONCE
