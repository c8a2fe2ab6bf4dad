// Numbers of the formats in which a network computes, eight at a time, as the kernels of this
// folder read and write them.
//
// The text of kernels/*.inl is compiled twice: by NVRTC for the device that is there, and by the
// C++ compiler for the tests that run it on the CPU (tests/model/gpu/norm_twin.h). Hence no header,
// and no barrier inside of a function: a kernel whose threads wait for one another is cut into
// phases there.
#ifndef MILLRACE_MODEL_GPU_KERNELS_ELEMENT_INL_
#define MILLRACE_MODEL_GPU_KERNELS_ELEMENT_INL_

#ifdef __CUDACC__
#define MILLRACE_KERNEL __device__ __forceinline__
#define MILLRACE_UNROLL _Pragma("unroll")
#define MILLRACE_UNROLL_FOUR _Pragma("unroll 4")
#else
#define MILLRACE_KERNEL inline
#define MILLRACE_UNROLL
#define MILLRACE_UNROLL_FOUR
#endif

namespace millrace::model::gpu {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i64 = long long;

// What a thread reads and writes at once: 16 bytes where numbers have 16 bits.
constexpr u32 kVector = 8;

struct Values {
  float of[kVector];
};

struct Bfloat16 {};
struct Float16 {};

MILLRACE_KERNEL float FloatOf(u32 bits) {
  union {
    u32 bits;
    float of;
  } both;
  both.bits = bits;
  return both.of;
}

MILLRACE_KERNEL u32 BitsOf(float value) {
  union {
    float of;
    u32 bits;
  } both;
  both.of = value;
  return both.bits;
}

// a * b + c, rounded once where the device can.
MILLRACE_KERNEL float MulAdd(float a, float b, float c) {
#ifdef __CUDACC__
  return __fmaf_rn(a, b, c);
#else
  return a * b + c;
#endif
}

MILLRACE_KERNEL float SquareRoot(float value) {
#ifdef __CUDACC__
  return __fsqrt_rn(value);
#else
  return __builtin_sqrtf(value);
#endif
}

// Eight numbers as they lie in memory.
template <typename Element>
struct Packed {
  alignas(16) u32 words[4];
};
template <>
struct Packed<float> {
  alignas(16) u32 words[8];
};

template <typename Element>
MILLRACE_KERNEL Values Unpack(const Packed<Element>& packed);
template <typename Element>
MILLRACE_KERNEL Packed<Element> Pack(const Values& values);

template <>
MILLRACE_KERNEL Values Unpack<float>(const Packed<float>& packed) {
  Values values;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) values.of[k] = FloatOf(packed.words[k]);
  return values;
}

template <>
MILLRACE_KERNEL Packed<float> Pack<float>(const Values& values) {
  Packed<float> packed;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) packed.words[k] = BitsOf(values.of[k]);
  return packed;
}

template <>
MILLRACE_KERNEL Values Unpack<Bfloat16>(const Packed<Bfloat16>& packed) {
  Values values;
  MILLRACE_UNROLL
  for (u32 k = 0; k < 4; ++k) {
    values.of[2 * k] = FloatOf(packed.words[k] << 16);
    values.of[2 * k + 1] = FloatOf(packed.words[k] & 0xFFFF0000);
  }
  return values;
}

// Nearest, to even in the middle; what is no number stays none.
MILLRACE_KERNEL u32 Bfloat16Of(float value) {
  const u32 bits = BitsOf(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return 0x7FC0;
  return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

template <>
MILLRACE_KERNEL Packed<Bfloat16> Pack<Bfloat16>(const Values& values) {
  Packed<Bfloat16> packed;
  MILLRACE_UNROLL
  for (u32 k = 0; k < 4; ++k) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;"
        : "=r"(packed.words[k])
        : "f"(values.of[2 * k + 1]), "f"(values.of[2 * k]));
#else
    packed.words[k] = Bfloat16Of(values.of[2 * k]) | Bfloat16Of(values.of[2 * k + 1]) << 16;
#endif
  }
  return packed;
}

#ifdef __CUDACC__
template <>
MILLRACE_KERNEL Values Unpack<Float16>(const Packed<Float16>& packed) {
  Values values;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) {
    const u16 half = static_cast<u16>(packed.words[k / 2] >> (k % 2 * 16));
    asm("cvt.f32.f16 %0, %1;" : "=f"(values.of[k]) : "h"(half));
  }
  return values;
}

template <>
MILLRACE_KERNEL Packed<Float16> Pack<Float16>(const Values& values) {
  Packed<Float16> packed;
  MILLRACE_UNROLL
  for (u32 k = 0; k < 4; ++k) {
    u16 low;
    u16 high;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(low) : "f"(values.of[2 * k]));
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(high) : "f"(values.of[2 * k + 1]));
    packed.words[k] = low | static_cast<u32>(high) << 16;
  }
  return packed;
}
#endif

// The eight numbers with index `vector` of those that begin at `numbers`.
template <typename Element>
MILLRACE_KERNEL Packed<Element> Read(const void* numbers, u64 vector) {
  return static_cast<const Packed<Element>*>(numbers)[vector];
}
template <typename Element>
MILLRACE_KERNEL void Write(void* numbers, u64 vector, const Values& values) {
  static_cast<Packed<Element>*>(numbers)[vector] = Pack<Element>(values);
}

}  // namespace millrace::model::gpu

#endif  // MILLRACE_MODEL_GPU_KERNELS_ELEMENT_INL_
