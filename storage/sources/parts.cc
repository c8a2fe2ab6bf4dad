#include "storage/sources/parts.h"

#include <algorithm>
#include <numeric>

namespace millrace::storage {

IndexRange EqualRun(std::size_t count, SourcePart part) {
  return {.begin = count * part.index / part.count,
          .end = count * (std::size_t{part.index} + 1) / part.count};
}

IndexRange BalancedRun(std::span<const std::uint64_t> bytes, SourcePart part) {
  const std::uint64_t total = std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0});
  if (total == 0) return EqualRun(bytes.size(), part);
  IndexRange run;
  std::uint64_t before = 0;
  for (const std::uint64_t size : bytes) {
    // In doubles, as the product may be larger than 64 bits; it still grows with the position.
    const double middle = static_cast<double>(before) + static_cast<double>(size) / 2;
    const auto owner =
        std::min(static_cast<std::uint32_t>(middle / static_cast<double>(total) * part.count),
                 part.count - 1);
    if (owner < part.index) ++run.begin;
    if (owner <= part.index) ++run.end;
    before += size;
  }
  return run;
}

}  // namespace millrace::storage
