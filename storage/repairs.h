// The kinds of repairs that a record can tell of: their names, and how often each was made.
#pragma once

#include <array>
#include <cstdint>

#include "storage/record_view.h"

namespace millrace::storage {

// The bits of Repair in their order.
inline constexpr std::array kRepairs = {kTruncated,     kCorrupt,         kCmyk,      kOtherFormat,
                                        kTrailingBytes, kExifOrientation, kArithmetic};

// "cmyk", "trailing bytes": as report.json calls them.
const char* RepairName(Repair repair);

// Records with each of kRepairs.
using RepairCounts = std::array<std::uint64_t, kRepairs.size()>;

// Adds a record's `repairs` to the counts.
void CountRepairs(std::uint32_t repairs, RepairCounts* counts);

}  // namespace millrace::storage
