// What a split holds, in figures: for `millrace inspect`.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/histogram.h"
#include "storage/repairs.h"
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
  std::vector<std::uint64_t> per_class;  // records by label
  Spread width;                          // [pixels]
  Spread height;                         // [pixels]
  Spread pixels;                         // of a picture
  Spread payload;                        // [bytes]
  Histogram widths;
  Histogram heights;
  Histogram pixel_counts;
  Histogram payloads;
  std::array<std::uint64_t, 8> per_subsampling{};  // records by value of Subsampling
  std::uint64_t png = 0;                           // records whose payload is a PNG, not a JPEG
  std::uint64_t repaired = 0;                      // records that were not stored as they came
  RepairCounts per_repair{};                       // records with each of kRepairs
  std::uint64_t indexed = 0;                       // records with a region index
  std::uint64_t index_bytes = 0;  // [bytes] of the indexes, and of the restart markers they need
};

// One pass over the headers; of payloads only the first bytes are looked at. Each record is shown
// to `each`, too. Memory: 24 bytes per record. Throws Error naming shard and key when a header is
// damaged.
Statistics CollectStatistics(
    const SplitReader& reader,
    const std::function<void(std::uint64_t sample_id, const RecordView& record)>& each = {});

// "4:2:0", "gray", "other".
const char* SubsamplingName(Subsampling subsampling);

}  // namespace millrace::storage
