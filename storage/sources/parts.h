// Cuts a source into parts for several workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "storage/sources/sample_source.h"

namespace millrace::storage {

// Positions [begin, end) of a list.
struct IndexRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// The part's run of a list of `count` items, equally long for all parts to one item.
IndexRange EqualRun(std::size_t count, SourcePart part);

// The part's run of pieces of these sizes [bytes]. Each piece goes whole to the part into which its
// middle falls, so that the parts differ by no more than a piece.
IndexRange BalancedRun(std::span<const std::uint64_t> bytes, SourcePart part);

}  // namespace millrace::storage
