#include "stages/gpu/unstuff.h"

#include <algorithm>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "stages/gpu/unstuff.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace millrace::stages::gpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Returns the end of what was written, or nullptr where there is a marker. Reads up to
// `readable_end`.
std::uint8_t* Copy(const std::uint8_t* in, const std::uint8_t* end,
                   const std::uint8_t* readable_end, std::uint8_t* out) {
  const hn::CappedTag<std::uint8_t, kUnstuffMargin> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const auto mark = hn::Set(d, 0xFF);
  while (in < end) {
    if (readable_end - in >= lanes) {
      const auto bytes = hn::LoadU(d, in);
      hn::StoreU(bytes, d, out);
      const auto found = static_cast<std::ptrdiff_t>(hn::FindFirstTrue(d, hn::Eq(bytes, mark)));
      const std::ptrdiff_t taken = std::min(found < 0 ? lanes : found, end - in);
      in += taken;
      out += taken;
      if (taken == lanes || in == end) continue;
    }
    *out++ = *in;
    if (*in++ != 0xFF) continue;
    if (in == end || *in != 0) return nullptr;
    ++in;
  }
  return out;
}

}  // namespace
}  // namespace millrace::stages::gpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace millrace::stages::gpu {

HWY_EXPORT(Copy);

std::optional<std::size_t> Unstuff(std::span<const std::byte> payload,
                                   region::StoredSegment segment, std::byte* out) {
  const auto* all = reinterpret_cast<const std::uint8_t*>(payload.data());
  auto* const to = reinterpret_cast<std::uint8_t*>(out);
  const std::uint8_t* const begin = all + segment.begin;
  const std::uint8_t* const end =
      HWY_DYNAMIC_DISPATCH(Copy)(begin, begin + segment.bytes, all + payload.size(), to);
  if (end == nullptr) return {};
  return static_cast<std::size_t>(end - to);
}

}  // namespace millrace::stages::gpu

#endif  // HWY_ONCE
