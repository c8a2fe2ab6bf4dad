// The inverse DCT, eight threads a block: the arithmetic of stages/region/idct_scalar.cc, with the
// same refusal of numbers that no picture has.
#ifndef MILLRACE_STAGES_GPU_KERNELS_INVERSE_DCT_INL_
#define MILLRACE_STAGES_GPU_KERNELS_INVERSE_DCT_INL_

#include "entropy.inl"
#include "work.inl"

namespace millrace::stages::gpu {

// Of coefficients, dequantised, and of the numbers between the passes, as in stages/region/idct.h.
constexpr i32 kNumberLimit = 1 << 13;

// A kept block of a picture.
struct KeptBlock {
  u32 plane;
  u32 row_samples;   // of its plane
  u64 coefficients;  // where they begin
  u64 samples;       // where its first one goes
};

// Numbers lie with a gap behind each row, so that rows and columns are in different banks.
constexpr u32 kRowNumbers = kSide + 1;

// What the threads of a block share: the blocks that they make, and their numbers.
struct InverseDctShared {
  u32 picture;
  u32 count;  // of the blocks
  KeptBlock blocks[kBlocksTogether];
  i32 numbers[kBlocksTogether][kSide * kRowNumbers];
};

struct CoefficientRow {
  alignas(16) i16 of[kSide];
};

struct SampleRow {
  alignas(8) u8 of[kSide];
};

struct PlaceRow {
  alignas(8) u8 of[kSide];
};

// Where each coefficient in zigzag order lies among the numbers: kRowNumbers times its row and its
// column.
MILLRACE_KERNEL_DATA PlaceRow kPlaces[kSide] = {
    {{0, 1, 9, 18, 10, 2, 3, 11}},      {{19, 27, 36, 28, 20, 12, 4, 5}},
    {{13, 21, 29, 37, 45, 54, 46, 38}}, {{30, 22, 14, 6, 7, 15, 23, 31}},
    {{39, 47, 55, 63, 64, 56, 48, 40}}, {{32, 24, 16, 25, 33, 41, 49, 57}},
    {{65, 66, 58, 50, 42, 34, 43, 51}}, {{59, 67, 68, 60, 52, 61, 69, 70}}};

MILLRACE_KERNEL u32 KeptBlocks(const Picture& picture) {
  u32 blocks = 0;
  for (u32 i = 0; i < picture.planes; ++i) {
    blocks += picture.plane[i].columns * picture.plane[i].rows;
  }
  return blocks;
}

// REQUIRES: number < KeptBlocks(picture)
MILLRACE_KERNEL KeptBlock FindBlock(const Picture& picture, u32 number) {
  u32 of = 0;
  while (number >= picture.plane[of].columns * picture.plane[of].rows) {
    number -= picture.plane[of].columns * picture.plane[of].rows;
    ++of;
  }
  const PicturePlane& plane = picture.plane[of];
  const u32 kept_x = number % plane.columns;
  const u32 kept_y = number / plane.columns;
  const u32 x = plane.first_x + kept_x;
  const u32 y = plane.first_y + kept_y;
  const u32 mcu = x / plane.h;
  const u32 segment = y / plane.v * picture.segment_columns + mcu / picture.segment_mcus;
  const u32 before =
      (segment * picture.segment_mcus + mcu % picture.segment_mcus) * picture.mcu_blocks;
  const u32 in_mcu = plane.mcu_block + y % plane.v * plane.h + x % plane.h;
  return {of, plane.columns * kSide,
          picture.coefficients + static_cast<u64>(before + in_mcu) * kBlockSize,
          plane.samples + (static_cast<u64>(kept_y) * kBlockSize * plane.columns + kept_x * kSide)};
}

// First phase: which blocks.
MILLRACE_KERNEL void FindBlocks(const Work& work, u32 block, u32 thread, InverseDctShared* shared) {
  if (thread >= kBlocksTogether) return;
  const Share share = FindShare(work, Dealt::kInverseDct, block);
  const Picture& picture = work.pictures[share.picture];
  const u32 first = share.first_block * kBlocksTogether;
  const u32 left = KeptBlocks(picture) - first;
  if (thread == 0) {
    shared->picture = share.picture;
    shared->count = left < kBlocksTogether ? left : kBlocksTogether;
  }
  if (thread < left) shared->blocks[thread] = FindBlock(picture, first + thread);
}

// Loeffler, Ligtenberg and Moschytz with 13 bits of constants, as in jidctint.c.
MILLRACE_KERNEL void Transform(const i32* in, i32 shift, i32* out) {
  constexpr i32 k0298 = 2446, k0390 = 3196, k0541 = 4433, k0765 = 6270, k0899 = 7373, k1175 = 9633,
                k1501 = 12299, k1847 = 15137, k1961 = 16069, k2053 = 16819, k2562 = 20995,
                k3072 = 25172;
  const i32 even3 = in[2] * (k0541 + k0765) + in[6] * k0541;
  const i32 even2 = in[2] * k0541 + in[6] * (k0541 - k1847);
  const i32 even0 = (in[0] + in[4]) * (1 << 13);
  const i32 even1 = (in[0] - in[4]) * (1 << 13);
  const i32 even[4] = {even0 + even3, even1 + even2, even1 - even2, even0 - even3};
  const i32 sum73 = in[7] + in[3];
  const i32 sum51 = in[5] + in[1];
  const i32 z3 = sum73 * (k1175 - k1961) + sum51 * k1175;
  const i32 z4 = sum73 * k1175 + sum51 * (k1175 - k0390);
  const i32 odd[4] = {
      in[7] * -k0899 + in[1] * (k1501 - k0899) + z4, in[5] * -k2562 + in[3] * (k3072 - k2562) + z3,
      in[5] * (k2053 - k2562) + in[3] * -k2562 + z4, in[7] * (k0298 - k0899) + in[1] * -k0899 + z3};
  const i32 half = 1 << (shift - 1);
  for (u32 i = 0; i < 4; ++i) {
    out[i] = (even[i] + odd[i] + half) >> shift;
    out[kSide - 1 - i] = (even[i] - odd[i] + half) >> shift;
  }
}

// A number within the limit, so that no sum outgrows 32 bits.
MILLRACE_KERNEL i32 Limited(i32 number, bool* is_beyond) {
  if (number >= -kNumberLimit && number < kNumberLimit) return number;
  *is_beyond = true;
  return 0;
}

// Second phase: eight coefficients in zigzag order, dequantised and put into their places.
MILLRACE_KERNEL void LoadCoefficients(const Work& work, u32 thread, InverseDctShared* shared) {
  const u32 number = thread / kBlockThreads;
  const u32 row = thread % kBlockThreads;
  if (number >= shared->count) return;
  const Picture& picture = work.pictures[shared->picture];
  const KeptBlock& found = shared->blocks[number];
  const CoefficientRow coefficients = *reinterpret_cast<const CoefficientRow*>(
      work.coefficients + found.coefficients + row * kSide);
  const CoefficientRow quantizers = *reinterpret_cast<const CoefficientRow*>(
      DataOf(work, picture).quantizers[found.plane] + row * kSide);
  const PlaceRow places = kPlaces[row];
  bool is_beyond = false;
  for (u32 i = 0; i < kSide; ++i) {
    shared->numbers[number][places.of[i]] =
        Limited(coefficients.of[i] * quantizers.of[i], &is_beyond);
  }
  if (is_beyond) work.results[picture.output].is_damaged = 1;
}

// Third phase: a column.
MILLRACE_KERNEL void TransformColumns(const Work& work, u32 thread, InverseDctShared* shared) {
  const u32 number = thread / kBlockThreads;
  const u32 x = thread % kBlockThreads;
  if (number >= shared->count) return;
  i32 in[kSide];
  i32 out[kSide];
  for (u32 y = 0; y < kSide; ++y) in[y] = shared->numbers[number][y * kRowNumbers + x];
  Transform(in, 13 - 2, out);
  bool is_beyond = false;
  for (u32 y = 0; y < kSide; ++y)
    shared->numbers[number][y * kRowNumbers + x] = Limited(out[y], &is_beyond);
  if (is_beyond) work.results[work.pictures[shared->picture].output].is_damaged = 1;
}

// Fourth phase: a row, which gives 8 samples.
MILLRACE_KERNEL void StoreSamples(const Work& work, u32 thread, const InverseDctShared& shared) {
  const u32 number = thread / kBlockThreads;
  const u32 y = thread % kBlockThreads;
  if (number >= shared.count) return;
  i32 in[kSide];
  i32 out[kSide];
  for (u32 x = 0; x < kSide; ++x) in[x] = shared.numbers[number][y * kRowNumbers + x];
  Transform(in, 13 + 2 + 3, out);
  SampleRow samples;
  for (u32 x = 0; x < kSide; ++x) samples.of[x] = static_cast<u8>(Clamp(out[x], -128, 127) + 128);
  const KeptBlock& found = shared.blocks[number];
  *reinterpret_cast<SampleRow*>(work.samples + found.samples + y * found.row_samples) = samples;
}

}  // namespace millrace::stages::gpu

#endif  // MILLRACE_STAGES_GPU_KERNELS_INVERSE_DCT_INL_
