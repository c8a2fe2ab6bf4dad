#include "tests/stages/gpu/twin.h"

#include <cstring>
#include <memory>
#include <vector>

#include "stages/gpu/batch_layout.h"
#include "stages/gpu/kernels/color.inl"
#include "stages/gpu/kernels/digest.inl"
#include "stages/gpu/kernels/entropy.inl"
#include "stages/gpu/kernels/inverse_dct.inl"
#include "stages/gpu/kernels/resize.inl"

namespace millrace::stages::gpu {
namespace {

template <typename Phase>
void ForThreads(const Phase& phase) {
  for (u32 thread = 0; thread < kThreads; ++thread) phase(thread);
}

template <typename Phase>
void ForBlocks(const Chunk& chunk, Dealt kernel, const Phase& phase) {
  for (u32 block = 0; block < chunk.blocks[static_cast<std::size_t>(kernel)]; ++block) phase(block);
}

void Entropy(const Work& work, const Chunk& chunk) {
  const auto shared = std::make_unique<EntropyShared>();
  ForBlocks(chunk, Dealt::kEntropy, [&](u32 block) {
    ForThreads([&](u32 thread) { BeginCodes(work, block, thread, shared.get()); });
    ForThreads([&](u32 thread) { FillCodes(work, block, thread, shared.get()); });
    ForThreads([&](u32 thread) { DecodeSegment(work, block, thread, *shared); });
  });
}

void InverseDct(const Work& work, const Chunk& chunk) {
  const auto shared = std::make_unique<InverseDctShared>();
  ForBlocks(chunk, Dealt::kInverseDct, [&](u32 block) {
    ForThreads([&](u32 thread) { FindBlocks(work, block, thread, shared.get()); });
    ForThreads([&](u32 thread) { LoadCoefficients(work, thread, shared.get()); });
    ForThreads([&](u32 thread) { TransformColumns(work, thread, shared.get()); });
    ForThreads([&](u32 thread) { StoreSamples(work, thread, *shared); });
  });
}

void Digest(const Work& work) {
  const auto shared = std::make_unique<DigestShared>();
  for (u32 block = 0; block < work.pictures_count; ++block) {
    const Picture& picture = work.pictures[block];
    if (picture.kind != Kind::kSegments) continue;
    const u8* image = work.out + static_cast<u64>(picture.output) * work.image_bytes;
    ForThreads([&](u32 thread) { BeginDigest(thread, shared.get()); });
    for (u32 first = 0; first < Scramblings(work.image_bytes); first += kSums) {
      ForThreads(
          [&](u32 thread) { SumStripes(image, work.image_bytes, first, thread, shared.get()); });
      ForThreads([&](u32 thread) { Scramble(work.image_bytes, first, thread, shared.get()); });
    }
    ForThreads([&](u32 thread) { AddRest(image, work.image_bytes, thread, shared.get()); });
    work.results[picture.output].digest = EndDigest(work.image_bytes, *shared);
  }
}

}  // namespace

DecodedBatch DecodeByTwin(std::span<const Picture> pictures, std::span<const std::byte> bytes,
                          std::uint32_t image_bytes, std::uint64_t most_memory) {
  std::vector<Picture> placed(pictures.begin(), pictures.end());
  BatchLayout layout;
  layout.Make(placed, image_bytes / 3, most_memory);
  DecodedBatch batch{.pixels = std::vector<std::uint8_t>(pictures.size() * image_bytes),
                     .results = std::vector<PictureResult>(pictures.size())};
  for (const Chunk& chunk : layout.chunks()) {
    std::vector<i16> coefficients(chunk.sizes.coefficients);
    // What a device leaves undefined must not matter.
    std::vector<u8> samples(chunk.sizes.samples, 0xA5);
    std::vector<u32> rgb(chunk.sizes.rgb, 0xA5A5A5);
    std::vector<u32> between(chunk.sizes.between, 0xA5A5A5);
    std::vector<i32> tables(chunk.sizes.tables, -1);
    const Work work{.pictures = placed.data() + chunk.first,
                    .first_blocks = layout.first_blocks().data() + chunk.first_blocks,
                    .pictures_count = static_cast<u32>(chunk.count),
                    .image_bytes = image_bytes,
                    .bytes = reinterpret_cast<const u8*>(bytes.data()),
                    .coefficients = coefficients.data(),
                    .samples = samples.data(),
                    .rgb = rgb.data(),
                    .between = between.data(),
                    .tables = tables.data(),
                    .out = batch.pixels.data(),
                    .results = batch.results.data()};
    Entropy(work, chunk);
    InverseDct(work, chunk);
    const auto each = [&](Dealt kernel, void (*phase)(const Work&, u32, u32)) {
      ForBlocks(chunk, kernel,
                [&](u32 block) { ForThreads([&](u32 thread) { phase(work, block, thread); }); });
    };
    each(Dealt::kColor, &ConvertPixels);
    each(Dealt::kTables, &MakeTables);
    each(Dealt::kFirstPass, &ResizeFirst);
    each(Dealt::kLastPass, &ResizeLast);
    Digest(work);
  }
  return batch;
}

void NormalizeByTwin(const NormalizeWork& work) {
  constexpr u64 kBlocks = 3;
  const auto shared = std::make_unique<NormalizeShared>();
  for (u64 block = 0; block < kBlocks; ++block) {
    ForThreads([&](u32 thread) { FillValues(work, thread, shared.get()); });
    ForThreads([&](u32 thread) {
      NormalizeValues(work, block * kThreads + thread, kBlocks * kThreads, *shared);
    });
  }
}

}  // namespace millrace::stages::gpu
