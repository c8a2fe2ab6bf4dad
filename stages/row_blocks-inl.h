// Vectors whose 128-bit blocks belong to different rows, for kernels that go through several rows
// at once. Included once per target by a file that Highway compiles for each (foreach_target.h).
#if defined(MILLRACE_STAGES_ROW_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_STAGES_ROW_BLOCKS_INL_H_
#undef MILLRACE_STAGES_ROW_BLOCKS_INL_H_
#else
#define MILLRACE_STAGES_ROW_BLOCKS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#undef MILLRACE_X86_VECTORS
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128
#define MILLRACE_X86_VECTORS 1
#else
#define MILLRACE_X86_VECTORS 0
#endif

#if HWY_TARGET != HWY_SCALAR

HWY_BEFORE_NAMESPACE();
namespace millrace::stages::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D8 = hn::ScalableTag<std::uint8_t>;
using D16 = hn::Repartition<std::int16_t, D8>;
using D32 = hn::Repartition<std::int32_t, D8>;
using V8 = hn::Vec<D8>;
using V16 = hn::Vec<D16>;
using V32 = hn::Vec<D32>;
constexpr D8 d8;
constexpr D16 d16;
constexpr D32 d32;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D8()));
constexpr int kBlocks = kLanes / 16;  // of 128 bits in a vector

// Sums of products of neighbouring 16-bit lanes.
class PairSum {
 public:
  HWY_INLINE explicit PairSum(V32 start)
      : start_(start), even_(hn::Zero(d32)), odd_(hn::Zero(d32)) {}

  HWY_INLINE void Add(V16 pixels, V16 coefficients) {
#if HWY_TARGET == HWY_AVX3_DL
    // As below in one instruction. Highway's attribute of the target lacks that of its intrinsic.
    asm("vpdpwssd %[coefficients], %[pixels], %[start]"
        : [start] "+v"(start_.raw)
        : [pixels] "v"(pixels.raw), [coefficients] "v"(coefficients.raw));
#else
    if constexpr (MILLRACE_X86_VECTORS) {
      // Adjacent products are summed in place, so that the start may be part of the sum.
      start_ = hn::ReorderWidenMulAccumulate(d32, pixels, coefficients, start_, odd_);
    } else {
      even_ = hn::ReorderWidenMulAccumulate(d32, pixels, coefficients, even_, odd_);
    }
#endif
  }

  HWY_INLINE V32 Total() const {
    if constexpr (MILLRACE_X86_VECTORS) {
      return start_;
    } else {
      return hn::Add(start_, hn::RearrangeToOddPlusEven(even_, odd_));
    }
  }

 private:
  V32 start_;
  V32 even_;
  V32 odd_;
};

// The sums of products of neighbouring 16-bit lanes.
HWY_INLINE V32 PairProducts(V16 pixels, V16 coefficients) {
  if constexpr (MILLRACE_X86_VECTORS) {
    V32 none = hn::Zero(d32);
    return hn::ReorderWidenMulAccumulate(d32, pixels, coefficients, hn::Zero(d32), none);
  } else {
    PairSum sum(hn::Zero(d32));
    sum.Add(pixels, coefficients);
    return sum.Total();
  }
}

// The same two 16-bit numbers in every 32-bit lane, the first in its lower half.
HWY_INLINE V16 Broadcast(std::int32_t pair) { return hn::BitCast(d16, hn::Set(d32, pair)); }

// 16 bytes from each of as many rows as D has blocks, at the same offset of each.
template <class D>
HWY_INLINE hn::Vec<D> LoadBlocks(D d, const std::uint8_t* const* rows, std::size_t offset) {
  if constexpr (hn::MaxLanes(D()) == 16) {
    return hn::LoadU(d, rows[0] + offset);
  } else {
    const hn::Half<D> half;
    return hn::Combine(d, LoadBlocks(half, rows + hn::MaxLanes(half) / 16, offset),
                       LoadBlocks(half, rows, offset));
  }
}

template <class D>
HWY_INLINE void StoreBlocks(D d, hn::Vec<D> v, std::uint8_t* const* rows, std::size_t offset) {
  if constexpr (hn::MaxLanes(D()) == 16) {
    hn::StoreU(v, d, rows[0] + offset);
  } else {
    const hn::Half<D> half;
    StoreBlocks(half, hn::LowerHalf(half, v), rows, offset);
    StoreBlocks(half, hn::UpperHalf(half, v), rows + hn::MaxLanes(half) / 16, offset);
  }
}

// From the 4 RGB pixels in the first 12 bytes of a block: red, green and blue of the first two as
// pairs of 16 bits; the fourth lane is empty.
alignas(16) constexpr std::uint8_t kFirstPair[16] = {0, 0x80, 3, 0x80, 1,    0x80, 4,    0x80,
                                                     2, 0x80, 5, 0x80, 0x80, 0x80, 0x80, 0x80};

}  // namespace
}  // namespace millrace::stages::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HWY_TARGET != HWY_SCALAR

#endif  // MILLRACE_STAGES_ROW_BLOCKS_INL_H_
