// Entropy decoding, a thread a restart segment: what stages/region/entropy.cc does, with the same
// refusals. Threads of a warp stay together where each step is one symbol, whatever its kind.
#ifndef MILLRACE_STAGES_GPU_KERNELS_ENTROPY_INL_
#define MILLRACE_STAGES_GPU_KERNELS_ENTROPY_INL_

#include "work.inl"

namespace millrace::stages::gpu {

// Codes of so many bits are looked up, longer ones are searched for.
constexpr u32 kLookupBits = 11;

// Of a lookup: bits of the code (0: a longer one, or none), of the value behind it, zeros before
// the coefficient, and whether the block ends instead.
constexpr u32 kSizeShift = 5;
constexpr u32 kZerosShift = 9;
constexpr u32 kEndShift = 13;

// The natural position of each coefficient in zigzag order.
MILLRACE_KERNEL_DATA u8 kNaturalPositions[kBlockSize] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

// The memory that the threads of a block share: the codes of its picture.
struct EntropyShared {
  u16 entries[kCodes][1 << kLookupBits];
  // By length: the first 16 bits that are above all codes of it, and what to add to such a code for
  // the place of its symbol.
  u32 limits[kCodes][17];
  i32 offsets[kCodes][17];
  u32 steps[kMostMcuBlocks];  // of the blocks of an MCU: plane, code of DC, code of AC, 8 bits each
  u8 positions[kBlockSize];
};

MILLRACE_KERNEL const PictureData& DataOf(const Work& work, const Picture& picture) {
  return *reinterpret_cast<const PictureData*>(work.bytes + picture.bytes);
}

// ITU-T T.81, F.2.2, as libjpeg takes it: without a value behind it a symbol of AC coefficients is
// sixteen zeros or the end of the block.
MILLRACE_KERNEL u32 EntryOf(u32 code, u32 length, u32 symbol) {
  if (code < 2) return length | symbol << kSizeShift;
  const u32 zeros = symbol >> 4;
  const u32 size = symbol & 15;
  if (size == 0 && zeros != 15) return length | 1u << kEndShift;
  return length | size << kSizeShift | zeros << kZerosShift;
}

// First phase: the limits of the codes.
MILLRACE_KERNEL void BeginCodes(const Work& work, u32 block, u32 thread, EntropyShared* shared) {
  const Picture& picture = work.pictures[FindShare(work, Dealt::kEntropy, block).picture];
  if (thread < kBlockSize) shared->positions[thread] = kNaturalPositions[thread];
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

// The lookup of a code between two lengths. 0 where there is none.
MILLRACE_KERNEL u32 FindCode(const Work& work, const Picture& picture, const EntropyShared& shared,
                             u32 code, u32 bits, u32 first_length, u32 last_length) {
  for (u32 length = first_length; length <= last_length; ++length) {
    if (bits >= shared.limits[code][length]) continue;
    const i32 place = static_cast<i32>(bits >> (16 - length)) + shared.offsets[code][length];
    return EntryOf(code, length, DataOf(work, picture).codes[code].symbols[place]);
  }
  return 0;
}

// Second phase: the lookups.
MILLRACE_KERNEL void FillCodes(const Work& work, u32 block, u32 thread, EntropyShared* shared) {
  const Picture& picture = work.pictures[FindShare(work, Dealt::kEntropy, block).picture];
  for (u32 code = 0; code < kCodes; ++code) {
    for (u32 i = thread; i < 1u << kLookupBits; i += kThreads) {
      shared->entries[code][i] = static_cast<u16>(
          FindCode(work, picture, *shared, code, i << (16 - kLookupBits), 1, kLookupBits));
    }
  }
}

// The bytes of a segment as big-endian words; zeros behind them.
struct SegmentWords {
  const u32* words;
  u32 count;

  MILLRACE_KERNEL u32 At(u32 i) const {
    if (i >= count) return 0;
    const u32 word = words[i];
    return word << 24 | (word & 0xFF00) << 8 | (word >> 8 & 0xFF00) | word >> 24;
  }
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
  const SegmentPlace place =
      reinterpret_cast<const SegmentPlace*>(data + sizeof(PictureData))[segment];
  const SegmentWords words{reinterpret_cast<const u32*>(data) + place.word, (place.bytes + 3) / 4};

  u32 blocks = picture.segment_mcus * picture.mcu_blocks;
  i16* out =
      work.coefficients + picture.coefficients + static_cast<u64>(segment) * blocks * kBlockSize;
  u64 window = static_cast<u64>(words.At(0)) << 32 | words.At(1);
  u32 valid = 64;                                // bits of the window
  u32 word = words.At(2);                        // the one that comes into it next
  u32 next = 3;                                  // the one after
  i32 left = static_cast<i32>(place.bytes * 8);  // bits of the segment
  u32 position = 0;  // of the next coefficient in its block, in zigzag order
  u32 mcu_block = 0;
  u32 step = shared.steps[0];
  u32 code = step >> 8 & 0xFF;
  i32 dc[kMostPlanes] = {0, 0, 0};
  bool is_wrong = false;
  while (blocks != 0) {
    const u32 top = static_cast<u32>(window >> 32);
    u32 entry = shared.entries[code][top >> (32 - kLookupBits)];
    if (entry == 0) {
      entry = FindCode(work, picture, shared, code, top >> 16, kLookupBits + 1, 16);
      if (entry == 0) {
        is_wrong = true;
        break;
      }
    }
    const u32 length = entry & 31;
    const u32 size = entry >> kSizeShift & 15;
    const bool is_end = entry >> kEndShift != 0;
    // Values that do not begin with a one are negative.
    const u32 bits = top << length >> 1 >> (31 - size);
    const bool is_negative = bits < (1u << size >> 1);
    i32 value = static_cast<i32>(bits) - (is_negative ? (1 << size) - 1 : 0);
    const u32 taken = length + size;
    window <<= taken;
    valid -= taken;
    left -= static_cast<i32>(taken);
    const u32 at = position + (entry >> kZerosShift & 15);
    is_wrong = at >= kBlockSize || left < 0;
    if (position == 0) {
      const u32 plane = step & 0xFF;
      value += plane == 0 ? dc[0] : plane == 1 ? dc[1] : dc[2];
      dc[0] = plane == 0 ? value : dc[0];
      dc[1] = plane == 1 ? value : dc[1];
      dc[2] = plane == 2 ? value : dc[2];
      is_wrong |= value != static_cast<i16>(value);
    }
    if (is_wrong) break;
    if (value != 0) out[shared.positions[at]] = static_cast<i16>(value);
    const bool is_done = is_end || at == kBlockSize - 1;
    position = is_done ? 0 : at + 1;
    if (is_done) {
      out += kBlockSize;
      --blocks;
      mcu_block = mcu_block + 1 == picture.mcu_blocks ? 0 : mcu_block + 1;
      step = shared.steps[mcu_block];
    }
    code = is_done ? step >> 8 & 0xFF : step >> 16;
    if (valid <= 32) {
      window |= static_cast<u64>(word) << (32 - valid);
      valid += 32;
      word = words.At(next++);
    }
  }
  // What is left completes the last byte.
  if (is_wrong || left > 7) work.results[picture.output].is_damaged = 1;
}

}  // namespace millrace::stages::gpu

#endif  // MILLRACE_STAGES_GPU_KERNELS_ENTROPY_INL_
