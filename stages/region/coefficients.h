// Where the coefficients of blocks are in memory: in groups, as the vectors of the inverse DCT take
// them. First the first lines of all blocks of a group, side by side, then the second lines, and so
// on.
#pragma once

#include <cstddef>
#include <cstdint>

#include "storage/jpeg_frame.h"

namespace millrace::stages::region {

// As many as the widest vectors take at once.
inline constexpr int kGroupBlocks = 4;

// Of so many blocks as whole groups have.
constexpr int InWholeGroups(int blocks) {
  return (blocks + kGroupBlocks - 1) / kGroupBlocks * kGroupBlocks;
}

// The place of a block's first coefficient. Blocks are counted from the first of a group on.
constexpr std::size_t PlaceOfBlock(int block) {
  const auto number = static_cast<std::size_t>(block);
  return number / kGroupBlocks * kGroupBlocks * storage::kBlockSize +
         number % kGroupBlocks * storage::kBlockSide;
}

// How far behind that the coefficient with a natural position is.
constexpr std::uint8_t PlaceInGroup(std::uint8_t natural_position) {
  const std::size_t line = natural_position / storage::kBlockSide;
  return static_cast<std::uint8_t>(line * kGroupBlocks * storage::kBlockSide +
                                   natural_position % storage::kBlockSide);
}

}  // namespace millrace::stages::region
