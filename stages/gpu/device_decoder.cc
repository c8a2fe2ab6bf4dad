#include "stages/gpu/device_decoder.h"

#include <cstring>

#include "base/check.h"
#include "base/gpu/cuda_error.h"
#include "stages/gpu/device_kernels.h"
#include "stages/image.h"

namespace millrace::stages::gpu {
namespace {

// Of decode.cu, in the order of Dealt, in which they also run.
constexpr std::array<const char*, kDealtKernels> kDealtNames = {
    "Entropy", "InverseDct", "Color", "Tables", "FirstPass", "LastPass"};

void Copy(void* to, const void* from, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return;
  RequireCuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream),
              "a batch cannot be copied to or from the GPU");
}

void Clear(void* memory, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return;
  RequireCuda(cudaMemsetAsync(memory, 0, bytes, stream), "memory of the GPU cannot be cleared");
}

}  // namespace

DeviceDecoder::DeviceDecoder(cudaStream_t stream)
    : stream_(stream),
      module_(DeviceKernels(), "decode.cu"),
      description_(stream),
      bytes_(stream),
      results_(stream),
      coefficients_(stream),
      samples_(stream),
      rgb_(stream),
      between_(stream),
      tables_(stream) {
  for (std::size_t i = 0; i < dealt_.size(); ++i) dealt_[i] = module_.Find(kDealtNames[i]);
  digest_ = module_.Find("Digest");
  for (Staging& staging : stagings_) {
    RequireCuda(cudaEventCreateWithFlags(&staging.copied, cudaEventDisableTiming),
                "an event of the GPU");
  }
}

DeviceDecoder::~DeviceDecoder() {
  // Kernels, staged descriptions and events go with it.
  cudaStreamSynchronize(stream_);
  for (const Staging& staging : stagings_) cudaEventDestroy(staging.copied);
}

void DeviceDecoder::Decode(const DecodeBatch& batch) {
  const std::size_t count = batch.pictures.size();
  MILLRACE_CHECK(count > 0);
  const u32 pixels =
      static_cast<u32>(batch.finished.width) * static_cast<u32>(batch.finished.height);
  Staging& staging = stagings_[batches_++ % stagings_.size()];
  RequireCuda(cudaEventSynchronize(staging.copied), "an earlier batch on the GPU");
  // The chunks are as many as pictures at most, and each has a block more than it has pictures.
  const std::size_t pictures_bytes = count * sizeof(Picture);
  staging.memory.Reserve(pictures_bytes + 2 * count * kDealtKernels * sizeof(u32));
  std::memcpy(staging.memory.data(), batch.pictures.data(), pictures_bytes);
  layout_.Make({reinterpret_cast<Picture*>(staging.memory.data()), count}, pixels, kMostWork);
  const std::span<const u32> first_blocks = layout_.first_blocks();
  std::memcpy(staging.memory.data() + pictures_bytes, first_blocks.data(),
              first_blocks.size_bytes());

  const MemorySizes most = layout_.most();
  description_.Reserve(pictures_bytes + first_blocks.size_bytes());
  bytes_.Reserve(batch.bytes.size());
  results_.Reserve(count * sizeof(PictureResult));
  coefficients_.Reserve(most.coefficients * sizeof(i16));
  samples_.Reserve(most.samples);
  rgb_.Reserve(most.rgb * sizeof(u32));
  between_.Reserve(most.between * sizeof(u32));
  tables_.Reserve(most.tables * sizeof(i32));

  Copy(description_.as<std::byte>(), staging.memory.data(),
       pictures_bytes + first_blocks.size_bytes(), stream_);
  RequireCuda(cudaEventRecord(staging.copied, stream_), "an event of the GPU");
  Copy(bytes_.as<std::byte>(), batch.bytes.data(), batch.bytes.size(), stream_);
  Done("Copy");
  Clear(results_.as<void>(), count * sizeof(PictureResult), stream_);
  for (const Chunk& chunk : layout_.chunks()) {
    DecodeChunk(chunk, {.pictures = description_.as<Picture>() + chunk.first,
                        .first_blocks = reinterpret_cast<const u32*>(description_.as<std::byte>() +
                                                                     pictures_bytes) +
                                        chunk.first_blocks,
                        .pictures_count = static_cast<u32>(chunk.count),
                        .image_bytes = pixels * kChannels,
                        .bytes = bytes_.as<u8>(),
                        .coefficients = coefficients_.as<i16>(),
                        .samples = samples_.as<u8>(),
                        .rgb = rgb_.as<u32>(),
                        .between = between_.as<u32>(),
                        .tables = tables_.as<i32>(),
                        .out = batch.out,
                        .results = results_.as<PictureResult>()});
  }
  Copy(batch.results, results_.as<void>(), count * sizeof(PictureResult), stream_);
  Done("Results");
}

void DeviceDecoder::DecodeChunk(const Chunk& chunk, const Work& work) {
  Clear(work.coefficients, chunk.sizes.coefficients * sizeof(i16), stream_);
  Done("Clear");
  for (std::size_t i = 0; i < kDealtKernels; ++i) {
    Run(kDealtNames[i], dealt_[i], chunk.blocks[i], work);
  }
  Run("Digest", digest_, work.pictures_count, work);
}

void DeviceDecoder::Run(const char* name, cudaKernel_t kernel, u32 blocks, const Work& work) {
  if (blocks == 0) return;
  Launch(kernel, {.blocks = dim3(blocks), .threads = dim3(kThreads)}, stream_, work);
  Done(name);
}

}  // namespace millrace::stages::gpu
