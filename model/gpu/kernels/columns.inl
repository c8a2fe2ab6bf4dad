// Which thread takes which part of a matrix of `rows` x `channels` (all pixels of a batch in
// channels-last order), and how sums over its rows are put together: always in the same order, so
// that the same numbers give the same bits.
#ifndef MILLRACE_MODEL_GPU_KERNELS_COLUMNS_INL_
#define MILLRACE_MODEL_GPU_KERNELS_COLUMNS_INL_

#include "element.inl"

namespace millrace::model::gpu {

constexpr u32 kThreads = 256;     // of a block
constexpr u32 kMostColumns = 32;  // that a block takes: 512 bytes of a row of 16-bit numbers

// A block takes `columns` columns of eight channels, and of every `parts`th group of rows all rows.
struct Grid {
  u64 rows;
  u32 channels;  // a multiple of kVector
  u32 columns;   // of a block
  u32 parts;     // blocks beneath one another
};

// The host's choice: as many blocks as run at once, about.
MILLRACE_KERNEL Grid GridOf(u64 rows, u32 channels, u32 most_blocks) {
  const u32 columns = channels / kVector;
  Grid grid{rows, channels, columns < kMostColumns ? columns : kMostColumns, 1};
  const u32 tiles = (columns + grid.columns - 1) / grid.columns;
  const u32 together = kThreads / grid.columns;
  const u64 most_parts = (rows + together - 1) / together;
  if (most_blocks > tiles) grid.parts = most_blocks / tiles;
  if (grid.parts > most_parts) grid.parts = static_cast<u32>(most_parts);
  return grid;
}

// What is a thread's own.
struct Place {
  u32 part;
  u32 column;    // among those of the whole row
  u32 row;       // within the rows that a block takes together
  u32 together;  // so many
  bool works;    // some are left over
};

MILLRACE_KERNEL Place PlaceOf(const Grid& grid, u32 part, u32 tile, u32 thread) {
  Place place;
  place.part = part;
  place.column = tile * grid.columns + thread % grid.columns;
  place.row = thread / grid.columns;
  place.together = kThreads / grid.columns;
  place.works = place.row < place.together && place.column < grid.channels / kVector;
  return place;
}

MILLRACE_KERNEL u64 VectorOf(const Grid& grid, const Place& place, u64 row) {
  return row * (grid.channels / kVector) + place.column;
}

// Calls use(row, load(row)) for every row of a thread; `kTogether` loads are under way at a time.
// All blocks together go through the rows from the first to the last or, `backwards`, from the last
// to the first: who begins where the one before ended finds that in the cache.
template <u32 kTogether, typename Load, typename Use>
MILLRACE_KERNEL void ForRows(const Grid& grid, const Place& place, bool backwards, Load load,
                             Use use) {
  const u64 of_group = static_cast<u64>(place.together) * kTogether;
  const u64 groups = (grid.rows + of_group - 1) / of_group;
  for (u64 i = place.part; i < groups; i += grid.parts) {
    const u64 first = (backwards ? groups - 1 - i : i) * of_group + place.row;
    if (first + (kTogether - 1) * place.together < grid.rows) {
      decltype(load(first)) loaded[kTogether];
      MILLRACE_UNROLL
      for (u32 k = 0; k < kTogether; ++k) loaded[k] = load(first + k * place.together);
      MILLRACE_UNROLL
      for (u32 k = 0; k < kTogether; ++k) use(first + k * place.together, loaded[k]);
    } else {
      for (u32 k = 0; k < kTogether; ++k) {
        const u64 row = first + k * place.together;
        if (row < grid.rows) use(row, load(row));
      }
    }
  }
}

// Eight numbers of float32, one for each channel of a column.
MILLRACE_KERNEL Values OfColumn(const float* of_channels, const Place& place) {
  return Unpack<float>(Read<float>(of_channels, place.column));
}

// Which of `left` things that lie one behind the other takes in which: the first half the second,
// until one is left.
MILLRACE_KERNEL u32 Half(u32 left) { return (left + 1) / 2; }

}  // namespace millrace::model::gpu

#endif  // MILLRACE_MODEL_GPU_KERNELS_COLUMNS_INL_
