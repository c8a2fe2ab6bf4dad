#include "stages/gpu/batch_layout.h"

#include <algorithm>

namespace millrace::stages::gpu {
namespace {

u32 Divide(u64 a, u64 b) { return static_cast<u32>((a + b - 1) / b); }
u64 Product(i32 a, i32 b) { return static_cast<u64>(a) * static_cast<u64>(b); }

// In rows of 64 bytes, so that no two pictures share one.
template <typename Element>
u64 Rounded(u64 count) {
  constexpr u64 kRow = 64 / sizeof(Element);
  return (count + kRow - 1) / kRow * kRow;
}

u64 KeptBlocks(const Picture& picture) {
  u64 blocks = 0;
  for (u32 i = 0; i < picture.planes; ++i) {
    blocks += u64{picture.plane[i].columns} * picture.plane[i].rows;
  }
  return blocks;
}

u64 PixelsBetween(const Picture& picture) {
  switch (picture.passes) {
    case Passes::kHorizontalFirst:
      return Product(picture.along_x.count, picture.height);
    case Passes::kVerticalFirst:
      return Product(picture.width, picture.along_y.count);
    case Passes::kNone:
    case Passes::kLinear:
      break;
  }
  return 0;
}

u64 TableSizeOf(const PictureAxis& axis) {
  return static_cast<u64>(axis.count) * (2 + u64{axis.most_taps});
}

u32 BlocksOf(Dealt kernel, const Picture& picture, u32 pixels) {
  switch (kernel) {
    case Dealt::kEntropy:
      return Divide(picture.segments, kThreads);
    case Dealt::kInverseDct:
      return Divide(KeptBlocks(picture), kBlocksTogether);
    case Dealt::kColor:
      return Divide(Product(picture.width, picture.height), kPixelsTogether);
    case Dealt::kTables:
      return picture.passes == Passes::kNone
                 ? 0
                 : Divide(static_cast<u64>(picture.along_x.count + picture.along_y.count),
                          kThreads);
    case Dealt::kFirstPass:
      return Divide(PixelsBetween(picture), kPixelsTogether);
    case Dealt::kLastPass:
      break;
  }
  return Divide(pixels, kPixelsTogether);
}

}  // namespace

MemorySizes& MemorySizes::operator+=(const MemorySizes& other) {
  coefficients += other.coefficients;
  samples += other.samples;
  rgb += other.rgb;
  between += other.between;
  tables += other.tables;
  return *this;
}

MemorySizes MemoryOf(const Picture& picture) {
  if (picture.kind == Kind::kPixels) return {};
  const bool is_resized = picture.passes != Passes::kNone;
  return {.coefficients =
              u64{picture.segments} * picture.segment_mcus * picture.mcu_blocks * kBlockSize,
          .samples = Rounded<u8>(KeptBlocks(picture) * kBlockSize),
          .rgb = Rounded<u32>(Product(picture.width, picture.height)),
          .between = Rounded<u32>(PixelsBetween(picture)),
          .tables = is_resized
                        ? Rounded<i32>(TableSizeOf(picture.along_x) + TableSizeOf(picture.along_y))
                        : 0};
}

void BatchLayout::Make(std::span<Picture> pictures, u32 pixels, u64 most_bytes) {
  chunks_.clear();
  first_blocks_.clear();
  most_ = {};
  Chunk chunk;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    Picture& picture = pictures[i];
    const MemorySizes sizes = MemoryOf(picture);
    if (chunk.count > 0 && chunk.sizes.bytes() + sizes.bytes() > most_bytes) {
      End(pictures, pixels, &chunk);
      chunk = {};
      chunk.first = i;
    }
    picture.coefficients = chunk.sizes.coefficients;
    picture.rgb = chunk.sizes.rgb;
    picture.between = chunk.sizes.between;
    picture.tables = chunk.sizes.tables;
    u64 samples = chunk.sizes.samples;
    for (u32 plane = 0; plane < picture.planes; ++plane) {
      picture.plane[plane].samples = samples;
      samples += u64{picture.plane[plane].columns} * picture.plane[plane].rows * kBlockSize;
    }
    chunk.sizes += sizes;
    ++chunk.count;
  }
  if (chunk.count > 0) End(pictures, pixels, &chunk);
}

void BatchLayout::End(std::span<const Picture> pictures, u32 pixels, Chunk* chunk) {
  chunk->first_blocks = first_blocks_.size();
  for (u32 kernel = 0; kernel < kDealtKernels; ++kernel) {
    u32 blocks = 0;
    for (const Picture& picture : pictures.subspan(chunk->first, chunk->count)) {
      first_blocks_.push_back(blocks);
      blocks += BlocksOf(static_cast<Dealt>(kernel), picture, pixels);
    }
    first_blocks_.push_back(blocks);
    chunk->blocks[kernel] = blocks;
  }
  chunks_.push_back(*chunk);
  most_ = {.coefficients = std::max(most_.coefficients, chunk->sizes.coefficients),
           .samples = std::max(most_.samples, chunk->sizes.samples),
           .rgb = std::max(most_.rgb, chunk->sizes.rgb),
           .between = std::max(most_.between, chunk->sizes.between),
           .tables = std::max(most_.tables, chunk->sizes.tables)};
}

}  // namespace millrace::stages::gpu
