// The kernels of stages/gpu/kernels on the CPU: the same text, its threads one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "stages/gpu/kernels/normalize.inl"
#include "stages/gpu/kernels/work.inl"
#include "tests/stages/gpu/picture_batch.h"

namespace millrace::stages::gpu {

// What the device decoder does with pictures of `image_bytes` whose data are in `bytes`, in chunks
// of up to `most_memory` bytes. No memory is larger than the layout says, so that a sanitizer sees
// what goes beyond it.
DecodedBatch DecodeByTwin(std::span<const Picture> pictures, std::span<const std::byte> bytes,
                          std::uint32_t image_bytes, std::uint64_t most_memory = 1 << 30);

void NormalizeByTwin(const NormalizeWork& work);

}  // namespace millrace::stages::gpu
