// JpegTokenizer and JpegWriter together, judged by libjpeg's decoder.
#include "storage/jpeg_writer.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "storage/jpeg_decoder.h"

namespace millrace::storage {
namespace {

// A frame that owns its coefficients.
struct Picture {
  JpegFrame frame;
  std::vector<std::vector<std::int16_t>> planes;
};

struct Factors {
  std::uint32_t h;
  std::uint32_t v;
};

// `make` gives coefficient k of the n-th block of a plane.
template <typename Make>
Picture MakePicture(std::uint32_t width, std::uint32_t height, const std::vector<Factors>& factors,
                    Make make) {
  Picture picture;
  picture.frame = {.width = width,
                   .height = height,
                   .color = factors.size() == 1 ? JpegColor::kGray : JpegColor::kYcc,
                   .planes = {}};
  std::uint32_t most_h = 0;
  std::uint32_t most_v = 0;
  for (const Factors& factor : factors) {
    most_h = std::max(most_h, factor.h);
    most_v = std::max(most_v, factor.v);
  }
  for (const Factors& factor : factors) {
    CoefficientPlane plane;
    plane.h = factor.h;
    plane.v = factor.v;
    plane.width_blocks = (width * factor.h + 8 * most_h - 1) / (8 * most_h);
    const std::uint32_t rows = (height * factor.v + 8 * most_v - 1) / (8 * most_v);
    plane.quantizers.fill(static_cast<std::uint16_t>(1 + picture.planes.size()));
    auto& blocks = picture.planes.emplace_back(rows * plane.width_blocks * kBlockSize);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      blocks[i] = make(i / kBlockSize, i % kBlockSize);
    }
    for (std::uint32_t y = 0; y < rows; ++y) {
      plane.rows.push_back(blocks.data() + y * plane.width_blocks * kBlockSize);
    }
    picture.frame.planes.push_back(plane);
  }
  return picture;
}

void ExpectSame(const JpegFrame& frame, const JpegFrame& expected) {
  EXPECT_EQ(frame.width, expected.width);
  EXPECT_EQ(frame.height, expected.height);
  EXPECT_EQ(frame.color, expected.color);
  ASSERT_EQ(frame.planes.size(), expected.planes.size());
  for (std::size_t i = 0; i < frame.planes.size(); ++i) {
    const CoefficientPlane& plane = frame.planes[i];
    const CoefficientPlane& other = expected.planes[i];
    EXPECT_EQ(plane.quantizers, other.quantizers);
    ASSERT_EQ(plane.width_blocks, other.width_blocks);
    ASSERT_EQ(plane.rows.size(), other.rows.size());
    for (std::size_t y = 0; y < plane.rows.size(); ++y) {
      const std::size_t count = plane.width_blocks * kBlockSize;
      ASSERT_EQ(std::vector(plane.rows[y], plane.rows[y] + count),
                std::vector(other.rows[y], other.rows[y] + count))
          << "plane " << i << ", block row " << y;
    }
  }
}

void ExpectReadBack(const Picture& picture, std::uint32_t segment_mcus) {
  JpegWriter writer;
  ASSERT_TRUE(writer.Write(picture.frame, segment_mcus));
  JpegDecoder decoder(writer.bytes(), OnDamage::kFault);
  ASSERT_TRUE(decoder.ReadHeader() && decoder.ReadCoefficients()) << decoder.Explain().message;
  JpegFrame frame;
  ASSERT_TRUE(decoder.GetFrame(&frame));
  ExpectSame(frame, picture.frame);
}

const std::vector<std::vector<Factors>> kFactors = {{{1, 1}},
                                                    {{1, 1}, {1, 1}, {1, 1}},
                                                    {{2, 2}, {1, 1}, {1, 1}},
                                                    {{1, 2}, {1, 1}, {1, 1}},
                                                    {{4, 1}, {1, 1}, {1, 1}},
                                                    {{2, 1}, {1, 1}, {2, 1}}};

TEST(JpegWriter, AnyCoefficientsAreReadBack) {
  for (const auto& factors : kFactors) {
    for (std::uint32_t round = 0; round < 20; ++round) {
      RandomStream random({.seed = factors[0].h + 10 * factors[0].v}, round);
      // From a few nonzeros to all, from +-1 to what has 15 bits.
      const std::uint32_t density = 1 + random.Below(8);
      const std::uint32_t bits = 1 + random.Below(15);
      const auto picture =
          MakePicture(1 + random.Below(90), 1 + random.Below(40), factors,
                      [&](std::size_t, std::size_t) -> std::int16_t {
                        if (random.Below(8) >= density) return 0;
                        const auto value = static_cast<std::int32_t>(random.Below(1u << bits));
                        return static_cast<std::int16_t>(random.Below(2) == 0 ? value : -value);
                      });
      ExpectReadBack(picture, 0);
      ExpectReadBack(picture, 1);
      ExpectReadBack(picture, picture.frame.mcus_per_row());
      if (HasFatalFailure()) return;
    }
  }
}

TEST(JpegWriter, LongRunsOfZerosAreReadBack) {
  for (std::size_t only = 0; only < kBlockSize; ++only) {
    ExpectReadBack(
        MakePicture(16, 8, {{1, 1}},
                    [&](std::size_t, std::size_t k) -> std::int16_t { return k == only ? -3 : 0; }),
        1);
  }
}

TEST(JpegWriter, BytesOfOnesAreFollowedByZeros) {
  // The longest bits, all ones: nearly every byte is 0xFF.
  ExpectReadBack(
      MakePicture(64, 64, {{1, 1}}, [](std::size_t, std::size_t) -> std::int16_t { return 32767; }),
      1);
}

TEST(JpegWriter, StepsOfDcWrapAround) {
  const std::int16_t kSteps[] = {32767, -32768, -1, 0, -32767, 32767};
  ExpectReadBack(MakePicture(48, 8, {{1, 1}},
                             [&](std::size_t block, std::size_t k) -> std::int16_t {
                               return k == 0 ? kSteps[block] : std::int16_t{0};
                             }),
                 0);
}

TEST(JpegWriter, WhatHasNoCodeIsRefused) {
  const auto only = [](std::int16_t value, std::size_t at) {
    return MakePicture(8, 8, {{1, 1}}, [=](std::size_t, std::size_t k) -> std::int16_t {
      return k == at ? value : std::int16_t{0};
    });
  };
  JpegWriter writer;
  EXPECT_FALSE(writer.Write(only(-32768, 0).frame, 0));
  EXPECT_FALSE(writer.Write(only(-32768, 5).frame, 0));
  EXPECT_TRUE(writer.Write(only(-32767, 5).frame, 0));
}

TEST(JpegWriter, LargePicturesAreTheSameWithTokensMadeTwice) {
  // 2 x 65,535 blocks are kept as tokens, one more row is not.
  const auto make = [](std::size_t block, std::size_t k) {
    return static_cast<std::int16_t>(k < 4 ? (block * 7 + k) % 5 : 0);
  };
  const auto below = MakePicture(8 * 512, 8 * 256, {{1, 1}}, make);
  const auto above = MakePicture(8 * 512, 8 * 257, {{1, 1}}, make);
  for (const std::uint32_t segment_mcus : {0u, 8u}) {
    ExpectReadBack(below, segment_mcus);
    ExpectReadBack(above, segment_mcus);
  }
}

TEST(JpegWriter, TheSameFrameGivesTheSameBytesWhateverCameBefore) {
  const auto make = [](std::size_t block, std::size_t k) {
    return static_cast<std::int16_t>((block + 3 * k) % 7);
  };
  const auto small = MakePicture(40, 24, kFactors[2], make);
  const auto large = MakePicture(400, 240, kFactors[1], make);
  JpegWriter fresh;
  ASSERT_TRUE(fresh.Write(small.frame, 1));
  JpegWriter used;
  ASSERT_TRUE(used.Write(large.frame, 5));
  ASSERT_TRUE(used.Write(small.frame, 1));
  EXPECT_TRUE(std::ranges::equal(fresh.bytes(), used.bytes()));
  EXPECT_TRUE(std::ranges::equal(fresh.segment_bytes(), used.segment_bytes()));
}

}  // namespace
}  // namespace millrace::storage
