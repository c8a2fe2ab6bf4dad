// uint8 pixels to what a network takes, three values a pixel: the arithmetic of
// stages/normalize.cc, and its float32 rounded to 16 bits. A channel has only 256 values, so that
// each block of threads computes them once and then looks them up.
#ifndef MILLRACE_STAGES_GPU_KERNELS_NORMALIZE_INL_
#define MILLRACE_STAGES_GPU_KERNELS_NORMALIZE_INL_

#include "work.inl"

namespace millrace::stages::gpu {

// What comes out, 2 or 4 bytes a value.
enum class Output : u32 { kFloat32, kBfloat16, kFloat16 };

struct NormalizeWork {
  const u8* nhwc;
  u64 values;  // three a pixel
  // 0: they come out channel beside channel, as they go in. Otherwise each picture's in three
  // planes of so many.
  u64 plane;
  float mean[3];
  float std[3];
  Output output;
  void* out;
};

struct NormalizeShared {
  u32 values[3][256];  // as they come out
};

// Nearest, to even in the middle. Of what no std of 0 makes: finite numbers.
MILLRACE_KERNEL u32 Bfloat16Of(u32 bits) { return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16; }

MILLRACE_KERNEL u32 Float16Of(u32 bits) {
  const u32 sign = bits >> 16 & 0x8000;
  const u32 magnitude = bits & 0x7FFFFFFF;
  if (magnitude >= 0x47800000) return sign | 0x7C00;  // 65,536 and more
  const u32 exponent = magnitude >> 23;
  if (exponent < 102) return sign;  // less than half of the least
  // Below 2^-14 numbers lie as far apart as there.
  const u32 dropped = exponent < 113 ? 126 - exponent : 13;
  const u32 mantissa =
      exponent < 113 ? (magnitude & 0x7FFFFF) | 0x800000 : magnitude - (112u << 23);
  const u32 half = (1u << (dropped - 1)) - 1;
  return sign | (mantissa + half + (mantissa >> dropped & 1)) >> dropped;
}

MILLRACE_KERNEL u32 BitsOf(float value) {
  union {
    float of;
    u32 bits;
  } both;
  both.of = value;
  return both.bits;
}

// First phase: the values.
MILLRACE_KERNEL void FillValues(const NormalizeWork& work, u32 thread, NormalizeShared* shared) {
  for (u32 channel = 0; channel < 3; ++channel) {
    const float unit = static_cast<float>(thread) / 255.0F;
    const u32 bits = BitsOf((unit - work.mean[channel]) / work.std[channel]);
    shared->values[channel][thread] = work.output == Output::kFloat32    ? bits
                                      : work.output == Output::kBfloat16 ? Bfloat16Of(bits)
                                                                         : Float16Of(bits);
  }
}

// A thread takes four values at a time, its neighbour the next four.
constexpr u32 kValuesTogether = 4;

struct FourBytes {
  alignas(4) u8 of[kValuesTogether];
};
struct FourWords {
  alignas(16) u32 of[kValuesTogether];
};
struct FourHalfWords {
  alignas(8) u16 of[kValuesTogether];
};

// A value as it comes out: where it went in, and its channel.
struct ValuePlace {
  u64 in;
  u32 channel;
};
MILLRACE_KERNEL ValuePlace PlaceOf(const NormalizeWork& work, u64 out) {
  if (work.plane == 0) return {out, static_cast<u32>(out % 3)};
  const u64 of_pictures = out / work.plane / 3 * work.plane * 3;
  const u64 within = out - of_pictures;
  const u64 channel = within / work.plane;
  return {of_pictures + (within - channel * work.plane) * 3 + channel, static_cast<u32>(channel)};
}

// Four bytes that come out one behind the other, from `first` on.
MILLRACE_KERNEL FourBytes BytesOf(const NormalizeWork& work, u64 first, u32* channels) {
  FourBytes bytes;
  if (work.plane == 0) {
    bytes = *reinterpret_cast<const FourBytes*>(work.nhwc + first);
    u32 channel = static_cast<u32>(first % 3);
    for (u32 k = 0; k < kValuesTogether; ++k) {
      channels[k] = channel;
      channel = channel == 2 ? 0 : channel + 1;
    }
    return bytes;
  }
  const ValuePlace begin = PlaceOf(work, first);
  const bool in_one_plane = first % work.plane + kValuesTogether <= work.plane;
  for (u32 k = 0; k < kValuesTogether; ++k) {
    const ValuePlace place =
        in_one_plane ? ValuePlace{begin.in + u64{3} * k, begin.channel} : PlaceOf(work, first + k);
    bytes.of[k] = work.nhwc[place.in];
    channels[k] = place.channel;
  }
  return bytes;
}

// Second phase: every `threads`th four values; the last of all are perhaps fewer.
MILLRACE_KERNEL void NormalizeValues(const NormalizeWork& work, u64 thread, u64 threads,
                                     const NormalizeShared& shared) {
  const u64 fours = work.values / kValuesTogether;
  for (u64 i = thread; i < fours; i += threads) {
    u32 channels[kValuesTogether];
    const FourBytes in = BytesOf(work, i * kValuesTogether, channels);
    FourWords out;
    for (u32 k = 0; k < kValuesTogether; ++k) out.of[k] = shared.values[channels[k]][in.of[k]];
    if (work.output == Output::kFloat32) {
      static_cast<FourWords*>(work.out)[i] = out;
    } else {
      FourHalfWords half;
      for (u32 k = 0; k < kValuesTogether; ++k) half.of[k] = static_cast<u16>(out.of[k]);
      static_cast<FourHalfWords*>(work.out)[i] = half;
    }
  }
  const u64 last = fours * kValuesTogether + thread;
  if (last >= work.values) return;
  const ValuePlace place = PlaceOf(work, last);
  const u32 value = shared.values[place.channel][work.nhwc[place.in]];
  if (work.output == Output::kFloat32) {
    static_cast<u32*>(work.out)[last] = value;
  } else {
    static_cast<u16*>(work.out)[last] = static_cast<u16>(value);
  }
}

}  // namespace millrace::stages::gpu

#endif  // MILLRACE_STAGES_GPU_KERNELS_NORMALIZE_INL_
