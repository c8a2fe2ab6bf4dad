// Entropy decoding, a thread a restart segment: what stages/region/entropy.cc does, with the same
// refusals. Threads of a warp stay together where each step is one symbol, whatever its kind.
#ifndef MILLRACE_STAGES_GPU_KERNELS_ENTROPY_INL_
#define MILLRACE_STAGES_GPU_KERNELS_ENTROPY_INL_

#include "work.inl"

namespace millrace::stages::gpu {

// Codes of so many bits are looked up, longer ones are searched for.
constexpr u32 kLookupBits = 11;

// Of a lookup: bits of code and value together (0: the code is longer, or there is none), bits of
// the value, zeros before the coefficient, and whether the block ends instead.
constexpr u32 kSizeShift = 5;
constexpr u32 kZerosShift = 9;
constexpr u32 kEndShift = 13;

// The memory that the threads of a block share: the codes of its picture.
struct EntropyShared {
  u16 entries[kCodes][1 << kLookupBits];
  // By length: the first 16 bits that are above all codes of it, and what to add to such a code for
  // the place of its symbol.
  u32 limits[kCodes][17];
  i32 offsets[kCodes][17];
  u32 steps[kMostMcuBlocks];  // the blocks of an MCU: plane, code of DC, code of AC, 8 bits each
};

MILLRACE_KERNEL const PictureData& DataOf(const Work& work, const Picture& picture) {
  return *reinterpret_cast<const PictureData*>(work.bytes + picture.bytes);
}

// ITU-T T.81, F.2.2, as libjpeg takes it: without a value behind it a symbol of AC coefficients is
// sixteen zeros or the end of the block.
MILLRACE_KERNEL u32 EntryOf(u32 code, u32 length, u32 symbol) {
  const u32 zeros = code < 2 ? 0 : symbol >> 4;
  const u32 size = code < 2 ? symbol : symbol & 15;
  if (code >= 2 && size == 0 && zeros != 15) return length | 1u << kEndShift;
  return (length + size) | size << kSizeShift | zeros << kZerosShift;
}

// First phase: the limits of the codes.
MILLRACE_KERNEL void BeginCodes(const Work& work, u32 block, u32 thread, EntropyShared* shared) {
  const Picture& picture = work.pictures[FindShare(work, Dealt::kEntropy, block).picture];
  if (thread < kCodes) {
    const PictureCode& code_of = DataOf(work, picture).codes[thread];
    u32 code = 0;
    u32 place = 0;
    for (u32 length = 1; length <= 16; ++length) {
      shared->offsets[thread][length] = static_cast<i32>(place) - static_cast<i32>(code);
      code += code_of.lengths[length - 1];
      place += code_of.lengths[length - 1];
      shared->limits[thread][length] = code << (16 - length);
      code <<= 1;
    }
  }
  if (thread < picture.planes) {
    const PicturePlane& plane = picture.plane[thread];
    for (u32 i = 0; i < plane.h * plane.v; ++i) {
      shared->steps[plane.mcu_block + i] = thread | plane.dc << 8 | plane.ac << 16;
    }
  }
}

// The lookup of a code of one of these lengths. 0 where there is none.
MILLRACE_KERNEL u32 FindCode(const PictureCode* codes, const EntropyShared& shared, u32 code,
                             u32 bits, u32 first_length, u32 last_length) {
  for (u32 length = first_length; length <= last_length; ++length) {
    if (bits >= shared.limits[code][length]) continue;
    const i32 place = static_cast<i32>(bits >> (16 - length)) + shared.offsets[code][length];
    return EntryOf(code, length, codes[code].symbols[place]);
  }
  return 0;
}

// Second phase: the lookups.
MILLRACE_KERNEL void FillCodes(const Work& work, u32 block, u32 thread, EntropyShared* shared) {
  const Picture& picture = work.pictures[FindShare(work, Dealt::kEntropy, block).picture];
  const PictureCode* codes = DataOf(work, picture).codes;
  for (u32 code = 0; code < kCodes; ++code) {
    for (u32 i = thread; i < 1u << kLookupBits; i += kThreads) {
      shared->entries[code][i] =
          static_cast<u16>(FindCode(codes, *shared, code, i << (16 - kLookupBits), 1, kLookupBits));
    }
  }
}

// The bits of a segment, the first as the highest ones; zeros behind them.
//
// Two words hold what comes next, and the one after has been loaded, but is not looked at before
// its time: whoever waits for memory in each step does little else.
class SegmentBits {
 public:
  MILLRACE_KERNEL SegmentBits(const u32* words, u32 bytes)
      : words_(words), count_((bytes + 3) / 4), bits_(bytes * 8) {
    high_ = Swapped(Load(0));
    low_ = Swapped(Load(1));
    raw_ = Load(2);
  }

  MILLRACE_KERNEL u32 Next32() const {
    return static_cast<u32>((static_cast<u64>(high_) << 32 | low_) << used_ >> 32);
  }

  // REQUIRES: count < 32
  MILLRACE_KERNEL void Drop(u32 count) {
    used_ += count;
    if (used_ < 32) return;
    used_ -= 32;
    high_ = low_;
    low_ = Swapped(raw_);
    raw_ = Load(++next_);
  }

  // Whether it ends here, but for what completes the last byte.
  MILLRACE_KERNEL bool IsAtEnd() const {
    const u32 dropped = (next_ - 2) * 32 + used_;
    return dropped <= bits_ && bits_ - dropped < 8;
  }

 private:
  MILLRACE_KERNEL u32 Load(u32 i) const { return i < count_ ? words_[i] : 0; }

  static MILLRACE_KERNEL u32 Swapped(u32 word) {
#ifdef __CUDACC__
    return __byte_perm(word, 0, 0x0123);
#else
    return word << 24 | (word & 0xFF00) << 8 | (word >> 8 & 0xFF00) | word >> 24;
#endif
  }

  const u32* words_;
  const u32 count_;
  const u32 bits_;
  u32 high_;
  u32 low_;
  u32 raw_;
  u32 next_ = 2;  // the number of raw_
  u32 used_ = 0;  // bits of high_
};

// Third phase: decodes a segment. Its picture is damaged where a code is not there, coefficients
// are behind the end of a block, a DC coefficient has more than 16 bits, or the segment has other
// bytes than its blocks take.
MILLRACE_KERNEL void DecodeSegment(const Work& work, u32 block, u32 thread,
                                   const EntropyShared& shared) {
  const Share share = FindShare(work, Dealt::kEntropy, block);
  const Picture& picture = work.pictures[share.picture];
  const u32 segment = share.first_block * kThreads + thread;
  if (segment >= picture.segments) return;
  const u8* data = work.bytes + picture.bytes;
  const PictureCode* codes = DataOf(work, picture).codes;
  const SegmentPlace place =
      reinterpret_cast<const SegmentPlace*>(data + sizeof(PictureData))[segment];
  SegmentBits bits(reinterpret_cast<const u32*>(data) + place.word, place.bytes);

  const u32 mcu_blocks = picture.mcu_blocks;
  u32 blocks = picture.segment_mcus * mcu_blocks;
  i16* out =
      work.coefficients + picture.coefficients + static_cast<u64>(segment) * blocks * kBlockSize;
  u32 position = 0;  // of the next coefficient in its block, in zigzag order
  u32 step = shared.steps[0];
  // Of the block after, loaded long before it is needed.
  u32 mcu_block = mcu_blocks == 1 ? 0 : 1;
  u32 next_step = shared.steps[mcu_block];
  u32 code = step >> 8 & 0xFF;
  i32 dc[kMostPlanes] = {0, 0, 0};
  u32 wrong = 0;  // not 0: something is
  // Without branches as far as it goes: a thread alone waits for its own results, and a warp takes
  // every branch that one of its threads takes.
  while (blocks != 0 && wrong == 0) {
    const u32 next = bits.Next32();
    u32 entry = shared.entries[code][next >> (32 - kLookupBits)];
    if (entry == 0) {
      entry = FindCode(codes, shared, code, next >> 16, kLookupBits + 1, 16);
      wrong = entry == 0;
    }
    const u32 taken = entry & 31;
    bits.Drop(taken);
    const u32 size = entry >> kSizeShift & 15;
    // Values that do not begin with a one are negative.
    const u32 from_value = next << (taken - size);
    const u32 is_negative = ~static_cast<u32>(static_cast<i32>(from_value) >> 31);
    i32 value =
        static_cast<i32>((from_value >> 1 >> (31 - size)) - (is_negative & ~(0xFFFFFFFF << size)));
    const u32 plane = position == 0 ? step & 0xFF : kMostPlanes;
    value += (plane == 0 ? dc[0] : 0) + (plane == 1 ? dc[1] : 0) + (plane == 2 ? dc[2] : 0);
    dc[0] = plane == 0 ? value : dc[0];
    dc[1] = plane == 1 ? value : dc[1];
    dc[2] = plane == 2 ? value : dc[2];
    const u32 at = position + (entry >> kZerosShift & 15);
    // 15 zeros lead behind a block, but no further.
    wrong |= (at & kBlockSize) | static_cast<u32>(value + 0x8000) >> 16;
    if (value != 0 && wrong == 0) out[at] = static_cast<i16>(value);
    const bool is_done = entry >> kEndShift != 0 || at == kBlockSize - 1;
    position = is_done ? 0 : at + 1;
    if (is_done) {
      out += kBlockSize;
      --blocks;
      step = next_step;
      mcu_block = mcu_block + 1 == mcu_blocks ? 0 : mcu_block + 1;
    }
    next_step = shared.steps[mcu_block];
    code = is_done ? step >> 8 & 0xFF : step >> 16;
  }
  if (wrong != 0 || !bits.IsAtEnd()) work.results[picture.output].is_damaged = 1;
}

}  // namespace millrace::stages::gpu

#endif  // MILLRACE_STAGES_GPU_KERNELS_ENTROPY_INL_
