#include "storage/sources/parts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace millrace::storage {
namespace {

TEST(Parts, EqualRunsTileTheListAndDifferByOne) {
  for (const std::size_t count : {0U, 1U, 2U, 7U, 100U, 1'281'167U}) {
    for (const std::uint32_t parts : {1u, 2u, 3u, 7u, 64u}) {
      std::size_t next = 0;
      for (std::uint32_t i = 0; i < parts; ++i) {
        const IndexRange run = EqualRun(count, {.index = i, .count = parts});
        EXPECT_EQ(run.begin, next);
        EXPECT_GE(run.end - run.begin, count / parts);
        EXPECT_LE(run.end - run.begin, count / parts + 1);
        next = run.end;
      }
      EXPECT_EQ(next, count);
    }
  }
}

TEST(Parts, BalancedRunsTileThePiecesAndDifferByOne) {
  const std::vector<std::vector<std::uint64_t>> cases = {{},
                                                         {5},
                                                         {0, 0, 0},
                                                         {1, 1, 1, 1, 1, 1, 1},
                                                         {100, 1, 1, 1},
                                                         {1, 1, 1, 100},
                                                         {3, 1, 4, 1, 5, 9, 2, 6},
                                                         {1ull << 62, 1ull << 61, 1ull << 60}};
  for (const auto& sizes : cases) {
    const std::uint64_t total = std::accumulate(sizes.begin(), sizes.end(), std::uint64_t{0});
    const std::uint64_t largest = sizes.empty() ? 0 : *std::max_element(sizes.begin(), sizes.end());
    for (const std::uint32_t parts : {1u, 2u, 3u, 7u, 20u}) {
      std::size_t next = 0;
      for (std::uint32_t i = 0; i < parts; ++i) {
        const IndexRange run = BalancedRun(sizes, {.index = i, .count = parts});
        EXPECT_EQ(run.begin, next);
        EXPECT_GE(run.end, run.begin);
        next = run.end;
        std::uint64_t bytes = 0;
        for (std::size_t k = run.begin; k < run.end; ++k) bytes += sizes[k];
        EXPECT_LE(bytes, total / parts + largest + 1);
      }
      EXPECT_EQ(next, sizes.size());
    }
  }
}

}  // namespace
}  // namespace millrace::storage
