#include "stages/gpu/unstuff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"
#include "stages/simd.h"

namespace millrace::stages::gpu {
namespace {

class UnstuffTargets : public ::testing::TestWithParam<std::string> {
 protected:
  UnstuffTargets() { UseSimdTarget(GetParam()); }
  ~UnstuffTargets() override { UseSimdTarget(""); }
};

// Bytes as they were, with a 0xFF in some places, and as they are stored.
struct Bytes {
  std::vector<std::byte> plain;
  std::vector<std::byte> stuffed;
};

Bytes MakeBytes(std::size_t count, unsigned marks_in_256, RandomStream& random) {
  Bytes bytes;
  for (std::size_t i = 0; i < count; ++i) {
    const bool is_mark = random.Below(256) < marks_in_256;
    bytes.plain.push_back(is_mark ? std::byte{0xFF} : static_cast<std::byte>(random.Below(255)));
    bytes.stuffed.push_back(bytes.plain.back());
    if (is_mark) bytes.stuffed.push_back(std::byte{0});
  }
  return bytes;
}

TEST_P(UnstuffTargets, OnlyStuffedZerosAreGone) {
  RandomStream random({.seed = 1}, 0);
  for (std::size_t count = 0; count < 300; ++count) {
    const Bytes bytes = MakeBytes(count, count % 3 == 0 ? 100 : 3, random);
    // Also up to the end of what can be read, and in the middle.
    for (const std::size_t behind : {0U, 7U, 100U}) {
      std::vector<std::byte> payload(3 + bytes.stuffed.size() + behind, std::byte{0xFF});
      std::copy(bytes.stuffed.begin(), bytes.stuffed.end(), payload.begin() + 3);
      std::vector<std::byte> out(bytes.stuffed.size() + kUnstuffMargin);
      const auto left = Unstuff(payload, {.begin = 3, .bytes = bytes.stuffed.size()}, out.data());
      ASSERT_TRUE(left);
      out.resize(*left);
      ASSERT_EQ(out, bytes.plain) << count << " and " << behind << " behind";
    }
  }
}

TEST_P(UnstuffTargets, MarkersAreRefused) {
  RandomStream random({.seed = 2}, 0);
  const Bytes bytes = MakeBytes(200, 0, random);
  std::vector<std::byte> out(bytes.plain.size() + kUnstuffMargin);
  for (std::size_t at = 0; at < bytes.plain.size(); ++at) {
    std::vector<std::byte> marked = bytes.plain;
    marked[at] = std::byte{0xFF};
    if (at + 1 < marked.size()) marked[at + 1] = static_cast<std::byte>(1 + at);
    EXPECT_FALSE(Unstuff(marked, {.begin = 0, .bytes = marked.size()}, out.data())) << at;
  }
}

INSTANTIATE_TEST_SUITE_P(Simd, UnstuffTargets, ::testing::ValuesIn(SimdTargets()));

}  // namespace
}  // namespace millrace::stages::gpu
