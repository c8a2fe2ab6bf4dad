// Takes the zeros out that JPEG stuffs behind bytes of 0xFF, so that a segment is only its bits.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "stages/region/segments.h"

namespace millrace::stages::gpu {

// So many bytes may be written behind what is said.
inline constexpr std::size_t kUnstuffMargin = 32;

// Copies the bytes of a segment without them to `out`, which has room for segment.bytes and
// kUnstuffMargin. Returns how many were left; nothing where there is a marker in it.
std::optional<std::size_t> Unstuff(std::span<const std::byte> payload,
                                   region::StoredSegment segment, std::byte* out);

}  // namespace millrace::stages::gpu
