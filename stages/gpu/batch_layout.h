// Where the pictures of a batch lie in the device's memory, and which blocks of threads work for
// which of them.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "stages/gpu/kernels/work.inl"

namespace millrace::stages::gpu {

// How much of each memory of Work pictures take, in its elements.
struct MemorySizes {
  u64 coefficients = 0;
  u64 samples = 0;
  u64 rgb = 0;
  u64 between = 0;
  u64 tables = 0;

  u64 bytes() const {
    return coefficients * sizeof(i16) + samples + (rgb + between) * sizeof(u32) +
           tables * sizeof(i32);
  }
  MemorySizes& operator+=(const MemorySizes& other);
};

MemorySizes MemoryOf(const Picture& picture);

// A crop that takes more than this is not for the device. [bytes]
inline constexpr u64 kMostMemory = u64{256} << 20;

// Pictures that are decoded together.
struct Chunk {
  std::size_t first = 0;  // among the pictures of the batch
  std::size_t count = 0;
  std::size_t first_blocks = 0;  // where Work::first_blocks begins in BatchLayout::first_blocks()
  std::array<u32, kDealtKernels> blocks{};  // of threads
  MemorySizes sizes;
};

// Reused from batch to batch: allocates only to grow.
class BatchLayout {
 public:
  // Gives the pictures their places: as many together as `most_bytes` hold, and never less than
  // one. `pixels`: of a finished picture.
  void Make(std::span<Picture> pictures, u32 pixels, u64 most_bytes);

  std::span<const Chunk> chunks() const { return chunks_; }
  std::span<const u32> first_blocks() const { return first_blocks_; }
  MemorySizes most() const { return most_; }  // that any of the chunks takes

 private:
  void End(std::span<const Picture> pictures, u32 pixels, Chunk* chunk);

  std::vector<Chunk> chunks_;
  std::vector<u32> first_blocks_;
  MemorySizes most_;
};

}  // namespace millrace::stages::gpu
