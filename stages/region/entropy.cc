#include "stages/region/entropy.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "storage/jpeg_frame.h"

// Of the targets the decoding itself uses only their shifts: those of BMI2 need no certain
// register. Vectors of unknown size have no blocks to turn; processors that have them also have
// NEON.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "stages/region/entropy.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first.
#include <hwy/highway.h>

#ifndef MILLRACE_STAGES_REGION_ENTROPY_CC_
#define MILLRACE_STAGES_REGION_ENTROPY_CC_
namespace millrace::stages::region {

static_assert(std::endian::native == std::endian::little);

inline constexpr std::int64_t kBlock = storage::kBlockSize;
// A symbol has 31 bits at most, a block 64 symbols, so that is what a damaged one may take.
inline constexpr std::size_t kMostBlockBytes = storage::kBlockSize * 31 / 8;
// What is written at once when a segment's bytes are taken.
inline constexpr std::size_t kTakeMargin = 64;
static_assert(kTakeMargin <= kMostBlockBytes);

}  // namespace millrace::stages::region
#endif  // MILLRACE_STAGES_REGION_ENTROPY_CC_

HWY_BEFORE_NAMESPACE();
namespace millrace::stages::region::HWY_NAMESPACE {
namespace {

// A segment under way.
struct Lane {
  std::int64_t bit;       // where the bits end that are looked up next; downwards
  std::int64_t position;  // of the next coefficient in its block, in zigzag order
  const BlockStep* step;

  bool has_ended() const { return step->table == BlockStep::End().table; }
};

struct Context {
  const CodeTables& tables;
  const std::uint8_t* bytes;
  std::int16_t* coefficients;
};

// The bits from the lane's next one on.
HWY_INLINE std::uint64_t WindowAt(const std::uint8_t* bytes, std::int64_t bit) {
  const std::int64_t first = bit + CodeTables::kLookupBits - 1;
  std::uint64_t window;
  std::memcpy(&window, bytes + (first >> 3) - 7, sizeof window);
  return window << (~first & 7);
}

HWY_NOINLINE Coefficient FindLong(const Context& context, std::int64_t bit, std::uint32_t table) {
  return context.tables.FindLong(table, WindowAt(context.bytes, bit));
}

// One coefficient. Where a block ends is not to be foreseen, so nothing branches on it. False where
// there is none: the segment has ended or, which sets `is_wrong`, is damaged.
HWY_INLINE bool Step(const Context& context, Lane& lane, bool& is_wrong) {
  std::uint32_t window;
  std::memcpy(&window, context.bytes + (lane.bit >> 3), sizeof window);
  Coefficient found = context.tables.Lookup(lane.step->table, window >> (lane.bit & 7));
  if (!found.is_whole()) [[unlikely]] {
    if (lane.has_ended()) return false;
    if (found.entry == 0) found = FindLong(context, lane.bit, lane.step->table);
    if (found.entry == 0) {
      is_wrong = true;
      return false;
    }
    found = found.WithValue(WindowAt(context.bytes, lane.bit));
  }
  lane.bit -= found.bits();
  const std::int64_t at = lane.position + found.zeros();
  // Behind the last coefficient, where no end leads.
  if ((at & kBlock) != 0) [[unlikely]] {
    is_wrong = true;
    return false;
  }
  context.coefficients[lane.step->place + context.tables.Place(at)] = found.value();
  // All ones unless the block is done. The compiler must not know, or it branches.
  std::int64_t goes_on = (at - (kBlock - 1)) >> 63;
  asm("" : "+r"(goes_on));
  lane.position = (at & goes_on) + 1;
  lane.step += goes_on + 1;
  return true;
}

class Run {
 public:
  Run(const CodeTables& tables, const SegmentBytes& bytes, std::span<const Segment> segments,
      std::int16_t* coefficients)
      : context_{tables, bytes.data(), coefficients}, segments_(segments) {}

  bool Decode() {
    for (std::size_t i = 0; i < kLanes && Begin(i); ++i) ++lanes_;
    while (lanes_ > 0 && !is_wrong_) {
      switch (lanes_) {
        case 4:
          Steps<4>();
          break;
        case 3:
          Steps<3>();
          break;
        case 2:
          Steps<2>();
          break;
        default:
          Steps<1>();
      }
      TakeOthers();
    }
    return !is_wrong_;
  }

 private:
  static constexpr std::size_t kLanes = 4;

  // Goes on until one of the lanes is done. Copies stay in registers.
  template <std::size_t kCount>
  HWY_INLINE void Steps() {
    const Context context = context_;
    Lane a = lane_[0];
    Lane b = lane_[1];
    Lane c = lane_[2];
    Lane d = lane_[3];
    bool is_wrong = false;
    while (Step(context, a, is_wrong) && (kCount < 2 || Step(context, b, is_wrong)) &&
           (kCount < 3 || Step(context, c, is_wrong)) &&
           (kCount < 4 || Step(context, d, is_wrong))) {
    }
    lane_[0] = a;
    lane_[1] = b;
    lane_[2] = c;
    lane_[3] = d;
    is_wrong_ = is_wrong;
  }

  // Gives lanes that are done another segment; those that get none go behind the others.
  void TakeOthers() {
    for (std::size_t i = lanes_; i-- > 0;) {
      if (!lane_[i].has_ended()) continue;
      const std::int64_t bits_left = lane_[i].bit - LastBit(*of_lane_[i]);
      // What completes the last byte.
      is_wrong_ |= bits_left < 0 || bits_left > 7;
      if (Begin(i)) continue;
      --lanes_;
      lane_[i] = lane_[lanes_];
      of_lane_[i] = of_lane_[lanes_];
    }
  }

  bool Begin(std::size_t lane) {
    if (next_ == segments_.size()) return false;
    const Segment& segment = segments_[next_++];
    of_lane_[lane] = &segment;
    lane_[lane] = {.bit = FirstBit(segment), .position = 1, .step = segment.steps};
    return true;
  }

  static std::int64_t FirstBit(const Segment& segment) {
    return 8 * segment.top + 8 - static_cast<std::int64_t>(CodeTables::kLookupBits);
  }
  static std::int64_t LastBit(const Segment& segment) {
    return FirstBit(segment) - 8 * segment.bytes;
  }

  const Context context_;
  std::span<const Segment> segments_;
  std::size_t next_ = 0;
  std::size_t lanes_ = 0;
  bool is_wrong_ = false;
  std::array<Lane, kLanes> lane_{};
  std::array<const Segment*, kLanes> of_lane_{};
};

namespace hn = hwy::HWY_NAMESPACE;

// The last byte first.
template <class D>
HWY_INLINE hn::Vec<D> Turned([[maybe_unused]] D d, hn::Vec<D> bytes) {
#if HWY_TARGET == HWY_SCALAR
  return bytes;
#else
  alignas(16) constexpr std::uint8_t kLastFirst[16] = {15, 14, 13, 12, 11, 10, 9, 8,
                                                       7,  6,  5,  4,  3,  2,  1, 0};
  return hn::ReverseBlocks(d, hn::TableLookupBytes(bytes, hn::LoadDup128(d, kLastFirst)));
#endif
}

// Takes the bytes from `in` to `end`, of which those up to `readable_end` may be read, and writes
// them downwards from `out` on. Returns where the next one would go, or nullptr where there is a
// marker. Up to kTakeMargin bytes below may be written too.
std::uint8_t* Take(const std::uint8_t* in, const std::uint8_t* end,
                   const std::uint8_t* readable_end, std::uint8_t* out) {
  const hn::CappedTag<std::uint8_t, kTakeMargin> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const auto mark = hn::Set(d, 0xFF);
  while (in < end) {
    if (readable_end - in >= lanes) {
      const auto bytes = hn::LoadU(d, in);
      hn::StoreU(Turned(d, bytes), d, out - (lanes - 1));
      const auto found = static_cast<std::ptrdiff_t>(hn::FindFirstTrue(d, hn::Eq(bytes, mark)));
      // A branch, so that where the next bytes are does not wait for what these are.
      if (found < 0 && end - in > lanes) {
        in += lanes;
        out -= lanes;
        continue;
      }
      const std::ptrdiff_t taken = std::min(found < 0 ? lanes : found, end - in);
      in += taken;
      out -= taken;
      if (in == end) break;
    }
    *out-- = *in;
    if (*in++ != 0xFF) continue;
    if (in == end || *in != 0) return nullptr;
    ++in;
  }
  return out;
}

bool Decode(const CodeTables& tables, const SegmentBytes& bytes, std::span<const Segment> segments,
            std::int16_t* coefficients) {
  return Run(tables, bytes, segments, coefficients).Decode();
}

}  // namespace
}  // namespace millrace::stages::region::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace millrace::stages::region {

HWY_EXPORT(Decode);
HWY_EXPORT(Take);

bool DecodeSegments(const CodeTables& tables, const SegmentBytes& bytes,
                    std::span<const Segment> segments, std::int16_t* coefficients) {
  return HWY_DYNAMIC_DISPATCH(Decode)(tables, bytes, segments, coefficients);
}

void SegmentBytes::Begin(std::size_t bytes, std::size_t most_blocks) {
  // Below the last segment what a damaged one may take, and on both sides what one load reads.
  const std::size_t all = most_blocks * kMostBlockBytes + bytes + 32;
  if (bytes_.size() < all) bytes_.resize(all);
  next_ = static_cast<std::int64_t>(all) - 8;
}

bool SegmentBytes::Take(std::span<const std::byte> payload, std::size_t from, std::size_t bytes,
                        Segment* segment) {
  const auto* const all = reinterpret_cast<const std::uint8_t*>(payload.data());
  const std::uint8_t* const in = all + from;
  segment->top = next_;
  const std::uint8_t* const out =
      HWY_DYNAMIC_DISPATCH(Take)(in, in + bytes, all + payload.size(), bytes_.data() + next_);
  if (out == nullptr) return false;
  segment->bytes = (bytes_.data() + next_) - out;
  next_ -= segment->bytes;
  return true;
}

}  // namespace millrace::stages::region

#endif  // HWY_ONCE
