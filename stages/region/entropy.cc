#include "stages/region/entropy.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "storage/jpeg_frame.h"

// Of the targets only their shifts are used: those of BMI2 need no certain register.
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

// The natural position of each coefficient in zigzag order. Behind the block's end there is the
// last one: a damaged block writes there, and an end of block writes a zero that is there anyway.
inline constexpr std::array<std::uint8_t, 256> kPlaces = [] {
  std::array<std::uint8_t, 256> places{};
  places.fill(storage::kBlockSize - 1);
  std::copy(storage::kNaturalPosition.begin(), storage::kNaturalPosition.end(), places.begin());
  return places;
}();

}  // namespace millrace::stages::region
#endif  // MILLRACE_STAGES_REGION_ENTROPY_CC_

HWY_BEFORE_NAMESPACE();
namespace millrace::stages::region::HWY_NAMESPACE {
namespace {

// A segment under way.
struct Lane {
  std::int64_t bit;       // of the next bit: 8 * (byte - 7) + 7, downwards from each byte's first
  std::int64_t position;  // of the next coefficient in its block, in zigzag order
  const CodeTable* table;
  const BlockStep* step;
};

struct Context {
  const std::uint8_t* bytes;
  std::int16_t* coefficients;
  // Of all positions together: this bit is set where one was behind the block's last. The end of a
  // block leads further.
  std::int64_t positions;
  static constexpr std::int64_t kIsWrong = kBlock;
};

// One coefficient. Where a block ends is not to be foreseen, so nothing branches on it. Returns
// where the next one's block begins.
HWY_INLINE std::int64_t Step(Context& context, Lane& lane) {
  std::uint64_t window;
  std::memcpy(&window, context.bytes + (lane.bit >> 3), sizeof window);
  window <<= ~lane.bit & 7;
  Coefficient found = lane.table->Lookup(window);
  if (!found.is_whole()) [[unlikely]] {
    found = lane.table->Complete(found, window);
    if (found.entry == 0) {
      context.positions |= Context::kIsWrong;
      found = Coefficient::Of(1, Coefficient::kEndOfBlock, 0);
    }
  }
  lane.bit -= found.bits();
  const std::int64_t at = lane.position + found.zeros();
  context.coefficients[lane.step->place + kPlaces[static_cast<std::size_t>(at)]] = found.value();
  context.positions |= at;
  // All ones where the block is done. The compiler must not know, or it branches.
  std::int64_t is_done = (kBlock - 2 - at) >> 63;
  asm("" : "+r"(is_done));
  lane.position = (at + 1) & ~is_done;
  lane.step =
      reinterpret_cast<const BlockStep*>(reinterpret_cast<const std::byte*>(lane.step) +
                                         (is_done & static_cast<std::int64_t>(sizeof(BlockStep))));
  lane.table = lane.step->tables[static_cast<std::size_t>(is_done + 1)];
  return lane.step->place;
}

class Run {
 public:
  Run(const SegmentBytes& bytes, std::span<const Segment> segments, std::int16_t* coefficients)
      : context_{bytes.data(), coefficients, 0}, segments_(segments) {}

  bool Decode() {
    for (std::size_t i = 0; i < kLanes && Begin(i); ++i) ++lanes_;
    while (lanes_ > 0 && !IsWrong()) {
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
    return !IsWrong();
  }

 private:
  static constexpr std::size_t kLanes = 4;

  bool IsWrong() const { return (context_.positions & Context::kIsWrong) != 0; }

  // Goes on until one of the lanes is done. Copies stay in registers.
  template <std::size_t kCount>
  HWY_INLINE void Steps() {
    Context context = context_;
    Lane a = lane_[0];
    Lane b = lane_[1];
    Lane c = lane_[2];
    Lane d = lane_[3];
    std::int64_t any = 0;  // negative as soon as one of the places is
    do {
      any = Step(context, a);
      if constexpr (kCount > 1) any |= Step(context, b);
      if constexpr (kCount > 2) any |= Step(context, c);
      if constexpr (kCount > 3) any |= Step(context, d);
    } while (any >= 0);
    lane_[0] = a;
    lane_[1] = b;
    lane_[2] = c;
    lane_[3] = d;
    context_ = context;
  }

  // Gives lanes that are done another segment; those that get none go behind the others.
  void TakeOthers() {
    for (std::size_t i = lanes_; i-- > 0;) {
      if (lane_[i].step->place >= 0) continue;
      const std::int64_t bits_left = lane_[i].bit - LastBit(*of_lane_[i]);
      // What completes the last byte.
      if (bits_left < 0 || bits_left > 7) context_.positions |= Context::kIsWrong;
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
    lane_[lane] = {.bit = FirstBit(segment),
                   .position = 0,
                   .table = segment.steps->tables.front(),
                   .step = segment.steps};
    return true;
  }

  static std::int64_t FirstBit(const Segment& segment) { return 8 * (segment.top - 7) + 7; }
  static std::int64_t LastBit(const Segment& segment) {
    return FirstBit(segment) - 8 * segment.bytes;
  }

  Context context_;
  std::span<const Segment> segments_;
  std::size_t next_ = 0;
  std::size_t lanes_ = 0;
  std::array<Lane, kLanes> lane_{};
  std::array<const Segment*, kLanes> of_lane_{};
};

bool Decode(const SegmentBytes& bytes, std::span<const Segment> segments,
            std::int16_t* coefficients) {
  return Run(bytes, segments, coefficients).Decode();
}

}  // namespace
}  // namespace millrace::stages::region::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace millrace::stages::region {

HWY_EXPORT(Decode);

bool DecodeSegments(const SegmentBytes& bytes, std::span<const Segment> segments,
                    std::int16_t* coefficients) {
  return HWY_DYNAMIC_DISPATCH(Decode)(bytes, segments, coefficients);
}

void SegmentBytes::Begin(std::size_t bytes, std::size_t most_blocks) {
  // Below the last segment what a damaged one may take, and on both sides what one load reads.
  const std::size_t all = most_blocks * kMostBlockBytes + bytes + 32;
  if (bytes_.size() < all) bytes_.resize(all);
  next_ = static_cast<std::int64_t>(all) - 8;
}

bool SegmentBytes::Take(std::span<const std::byte> payload, std::size_t from, std::size_t bytes,
                        Segment* segment) {
  const auto* in = reinterpret_cast<const std::uint8_t*>(payload.data()) + from;
  const std::uint8_t* const end = in + bytes;
  const std::uint8_t* const payload_end =
      reinterpret_cast<const std::uint8_t*>(payload.data()) + payload.size();
  segment->top = next_;
  // Where the next byte goes; eight at a time are written downwards from there.
  std::uint8_t* out = bytes_.data() + next_;
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  while (in < end) {
    if (payload_end - in >= 8) {
      std::uint64_t eight;
      std::memcpy(&eight, in, sizeof eight);
      // Bytes of 0xFF are zeros of the complement ("Bit twiddling hacks", haszero).
      const std::uint64_t marks = (~eight - kOnes) & eight & (kOnes << 7);
      const std::uint64_t turned = __builtin_bswap64(eight);
      std::memcpy(out - 7, &turned, sizeof turned);
      // Of those before the first mark all were right, if there is a mark at all.
      const auto good = marks == 0 ? 8 : std::countr_zero(marks) / 8;
      const auto taken = std::min<std::ptrdiff_t>(good, end - in);
      in += taken;
      out -= taken;
      if (taken == 8 || in == end) continue;
    }
    *out-- = *in;
    if (*in++ != 0xFF) continue;
    if (in == end || *in != 0) return false;
    ++in;
  }
  segment->bytes = (bytes_.data() + next_) - out;
  next_ -= segment->bytes;
  return true;
}

}  // namespace millrace::stages::region

#endif  // HWY_ONCE
