// What a split holds, in figures: for `millrace inspect`.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "storage/split_reader.h"

namespace millrace::storage {

struct Spread {
  std::uint64_t min = 0;
  std::uint64_t median = 0;  // the lower one of an even number of values
  std::uint64_t max = 0;
  std::uint64_t sum = 0;

  bool operator==(const Spread&) const = default;
};

struct Statistics {
  std::uint64_t records = 0;
  std::vector<std::uint64_t> per_class;            // records by label
  Spread width;                                    // [pixels]
  Spread height;                                   // [pixels]
  Spread payload;                                  // [bytes]
  std::array<std::uint64_t, 8> per_subsampling{};  // records by value of Subsampling
  std::uint64_t repaired = 0;                      // records that were not stored as they came
  std::uint64_t indexed = 0;                       // records with a region index
};

// One pass over the headers; payloads are not touched. Memory: 16 bytes per record. Throws Error
// naming shard and key when a header is damaged.
Statistics CollectStatistics(const SplitReader& reader);

// "4:2:0", "gray", "other".
const char* SubsamplingName(Subsampling subsampling);

}  // namespace millrace::storage
