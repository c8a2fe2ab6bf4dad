// XXH3-64 of finished pictures, a block of threads each: what Hash64() of base/hash.h makes of the
// same bytes (Yann Collet's XXH3, version 0.8, for more than 240 bytes, with its default secret).
//
// Eight accumulators take up stripes of 64 bytes and are scrambled after each 16 of them. What the
// stripes between two scramblings add does not depend on the accumulators, so that all of it is
// computed at once, and only the scrambling is done one after the other.
#ifndef MILLRACE_STAGES_GPU_KERNELS_DIGEST_INL_
#define MILLRACE_STAGES_GPU_KERNELS_DIGEST_INL_

#include "work.inl"

namespace millrace::stages::gpu {

constexpr u32 kLeastHashed = 241;  // [bytes]
constexpr u32 kAccumulators = 8;
constexpr u32 kStripe = 64;           // [bytes]
constexpr u32 kStripesTogether = 16;  // between two scramblings
constexpr u32 kSums = 64;             // of which so many lie in the shared memory
constexpr u64 kPrime32 = 0x9E3779B1;
constexpr u64 kPrime64 = 0x9E3779B185EBCA87;

// The secret's 192 bytes, as little-endian words.
MILLRACE_KERNEL_DATA u64 kSecret[24] = {
    0xBE4BA423396CFEB8, 0x1CAD21F72C81017C, 0xDB979083E96DD4DE, 0x1F67B3B7A4A44072,
    0x78E5C0CC4EE679CB, 0x2172FFCC7DD05A82, 0x8E2443F7744608B8, 0x4C263A81E69035E0,
    0xCB00C391BB52283C, 0xA32E531B8B65D088, 0x4EF90DA297486471, 0xD8ACDEA946EF1938,
    0x3F349CE33F76FAA8, 0x1D4F0BC7C7BBDCF9, 0x3159B4CD4BE0518A, 0x647378D9C97E9FC8,
    0xC3EBD33483ACC5EA, 0xEB6313FAFFA081C5, 0x49DAF0B751DD0D17, 0x9E68D429265516D3,
    0xFCA1477D58BE162B, 0xCE31D07AD1B8F88F, 0x280416958F3ACB45, 0x7E404BBBCAFBD7AF,
};

struct DigestShared {
  u64 sums[kSums][kAccumulators];
  u64 accumulators[kAccumulators];
};

// 8 bytes of the secret, from any of them on.
MILLRACE_KERNEL u64 SecretAt(u32 byte) {
  const u32 shift = byte % 8 * 8;
  const u64 low = kSecret[byte / 8];
  return shift == 0 ? low : low >> shift | kSecret[byte / 8 + 1] << (64 - shift);
}

MILLRACE_KERNEL u64 WordAt(const u8* bytes) {
#ifdef __CUDACC__
  if (reinterpret_cast<u64>(bytes) % 8 == 0) return *reinterpret_cast<const u64*>(bytes);
#endif
  u64 word = 0;
  for (u32 i = 0; i < 8; ++i) word |= static_cast<u64>(bytes[i]) << 8 * i;
  return word;
}

// What a stripe adds to an accumulator, with the secret from `secret` on.
MILLRACE_KERNEL u64 Accumulated(const u8* stripe, u32 accumulator, u32 secret) {
  const u64 keyed = WordAt(stripe + 8 * accumulator) ^ SecretAt(secret + 8 * accumulator);
  return WordAt(stripe + 8 * (accumulator ^ 1)) + (keyed & 0xFFFFFFFF) * (keyed >> 32);
}

// The upper and the lower half of a product, one over the other.
MILLRACE_KERNEL u64 Folded(u64 a, u64 b) {
  const u64 low = (a & 0xFFFFFFFF) * (b & 0xFFFFFFFF);
  const u64 cross = (a >> 32) * (b & 0xFFFFFFFF) + (low >> 32);
  const u64 other = (a & 0xFFFFFFFF) * (b >> 32) + (cross & 0xFFFFFFFF);
  return (a * b) ^ ((a >> 32) * (b >> 32) + (cross >> 32) + (other >> 32));
}

// How often it is scrambled.
MILLRACE_KERNEL u32 Scramblings(u32 bytes) { return (bytes - 1) / (kStripe * kStripesTogether); }

// Before the phases.
MILLRACE_KERNEL void BeginDigest(u32 thread, DigestShared* shared) {
  constexpr u64 kFirst[kAccumulators] = {
      0xC2B2AE3D,         kPrime64,   0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
      0x85EBCA77C2B2AE63, 0x85EBCA77, 0x27D4EB2F165667C5, kPrime32};
  if (thread == 0) {
    for (u32 i = 0; i < kAccumulators; ++i) shared->accumulators[i] = kFirst[i];
  }
}

// First phase: the sums before the scramblings from `first` on.
MILLRACE_KERNEL void SumStripes(const u8* image, u32 bytes, u32 first, u32 thread,
                                DigestShared* shared) {
  const u32 left = Scramblings(bytes) - first;
  const u32 count = left < kSums ? left : kSums;
  for (u32 i = thread; i < count * kAccumulators; i += kThreads) {
    const u8* stripe =
        image + static_cast<u64>(first + i / kAccumulators) * (kStripe * kStripesTogether);
    u64 sum = 0;
    for (u32 number = 0; number < kStripesTogether; ++number, stripe += kStripe) {
      sum += Accumulated(stripe, i % kAccumulators, 8 * number);
    }
    shared->sums[i / kAccumulators][i % kAccumulators] = sum;
  }
}

// Second phase: scrambles them in, a thread an accumulator.
MILLRACE_KERNEL void Scramble(u32 bytes, u32 first, u32 thread, DigestShared* shared) {
  if (thread >= kAccumulators) return;
  const u32 left = Scramblings(bytes) - first;
  const u32 count = left < kSums ? left : kSums;
  const u64 secret = SecretAt(128 + 8 * thread);
  u64 accumulator = shared->accumulators[thread];
  for (u32 i = 0; i < count; ++i) {
    accumulator += shared->sums[i][thread];
    accumulator = (accumulator ^ accumulator >> 47 ^ secret) * kPrime32;
  }
  shared->accumulators[thread] = accumulator;
}

// Behind the last: what follows the last scrambling, a thread an accumulator.
MILLRACE_KERNEL void AddRest(const u8* image, u32 bytes, u32 thread, DigestShared* shared) {
  if (thread >= kAccumulators) return;
  const u32 done = Scramblings(bytes) * (kStripe * kStripesTogether);
  u64 sum = Accumulated(image + bytes - kStripe, thread, 121);
  for (u32 i = 0; i < (bytes - 1 - done) / kStripe; ++i) {
    sum += Accumulated(image + done + i * kStripe, thread, 8 * i);
  }
  shared->accumulators[thread] += sum;
}

// And one thread makes the digest.
MILLRACE_KERNEL u64 EndDigest(u32 bytes, const DigestShared& shared) {
  u64 digest = bytes * kPrime64;
  for (u32 i = 0; i < kAccumulators; i += 2) {
    digest += Folded(shared.accumulators[i] ^ SecretAt(11 + 8 * i),
                     shared.accumulators[i + 1] ^ SecretAt(19 + 8 * i));
  }
  digest = (digest ^ digest >> 37) * 0x165667919E3779F9;
  return digest ^ digest >> 32;
}

}  // namespace millrace::stages::gpu

#endif  // MILLRACE_STAGES_GPU_KERNELS_DIGEST_INL_
