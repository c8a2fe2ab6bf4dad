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
  u64 pixels;
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

// Four pixels at a time: so many bytes are whole words on both sides.
constexpr u32 kPixelsTogether = 4;

struct PixelWords {
  u32 of[3];
};

// Second phase: each thread takes every `threads`th four pixels, the last of all perhaps fewer.
MILLRACE_KERNEL void NormalizePixels(const NormalizeWork& work, u64 thread, u64 threads,
                                     const NormalizeShared& shared) {
  for (u64 i = thread; i < work.pixels / kPixelsTogether; i += threads) {
    const PixelWords in = reinterpret_cast<const PixelWords*>(work.nhwc)[i];
    u32 values[3 * kPixelsTogether];
    for (u32 value = 0; value < 3 * kPixelsTogether; ++value) {
      values[value] = shared.values[value % 3][in.of[value / 4] >> value % 4 * 8 & 0xFF];
    }
    u32* out = static_cast<u32*>(work.out);
    if (work.output == Output::kFloat32) {
      out += i * (3 * kPixelsTogether);
      for (u32 value = 0; value < 3 * kPixelsTogether; ++value) out[value] = values[value];
    } else {
      out += i * (3 * kPixelsTogether / 2);
      for (u32 value = 0; value < 3 * kPixelsTogether; value += 2) {
        out[value / 2] = values[value] | values[value + 1] << 16;
      }
    }
  }
  const u64 whole = work.pixels / kPixelsTogether * kPixelsTogether;
  if (thread >= work.pixels - whole) return;
  for (u32 channel = 0; channel < 3; ++channel) {
    const u64 i = (whole + thread) * 3 + channel;
    const u32 value = shared.values[channel][work.nhwc[i]];
    if (work.output == Output::kFloat32) {
      static_cast<u32*>(work.out)[i] = value;
    } else {
      static_cast<u16*>(work.out)[i] = static_cast<u16>(value);
    }
  }
}

}  // namespace millrace::stages::gpu

#endif  // MILLRACE_STAGES_GPU_KERNELS_NORMALIZE_INL_
