#include "stages/resize.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/random.h"
#include "stages/simd.h"

namespace millrace::stages {
namespace {

using Pixels = std::vector<std::uint8_t>;

class Draws {
 public:
  explicit Draws(std::uint64_t seed) : stream_(RandomKey{.seed = seed}, 0) {}

  int Between(int low, int high) {
    return low + static_cast<int>(stream_.Below(static_cast<std::uint32_t>(high - low + 1)));
  }
  bool Coin() { return stream_.Below(2) == 1; }

  Image Noise(Size size) {
    Image image;
    image.Resize(size.width, size.height);
    std::generate_n(image.row(0), image.row_bytes() * static_cast<std::size_t>(size.height),
                    [&] { return static_cast<std::uint8_t>(stream_.Next()); });
    return image;
  }

  Geometry Any(int largest_source, int largest_result) {
    Geometry g;
    g.crop = {Between(0, 50), Between(0, 50), Between(1, largest_source),
              Between(1, largest_source)};
    g.resized = {Between(1, largest_result), Between(1, largest_result)};
    g.window.width = Between(1, g.resized.width);
    g.window.height = Between(1, g.resized.height);
    g.window.x = Between(0, g.resized.width - g.window.width);
    g.window.y = Between(0, g.resized.height - g.window.height);
    g.flip_horizontal = Coin();
    g.flip_vertical = Coin();
    static constexpr ResizeMode kModes[] = {ResizeMode::kPillow, ResizeMode::kPillow12,
                                            ResizeMode::kOpenCv};
    g.mode = kModes[Between(0, 2)];
    static constexpr int kScales[] = {1, 2, 4};
    if (g.mode != ResizeMode::kOpenCv && Coin()) g.scale = kScales[Between(0, 2)];
    return g;
  }

 private:
  RandomStream stream_;
};

std::string Describe(const Geometry& g) {
  return fmt::format(
      "crop {}x{} at {},{} to {}x{}, window {}x{} at {},{}, flips {} {}, mode {}, scale {}",
      g.crop.width, g.crop.height, g.crop.x, g.crop.y, g.resized.width, g.resized.height,
      g.window.width, g.window.height, g.window.x, g.window.y, g.flip_horizontal, g.flip_vertical,
      static_cast<int>(g.mode), g.scale);
}

// The crop in whole pixels of the decoded picture.
Box OuterCrop(const Geometry& g) {
  const double pixel = 8.0 / g.scale;
  const Box box{static_cast<int>(std::floor(g.crop.x / pixel)),
                static_cast<int>(std::floor(g.crop.y / pixel)), 0, 0};
  return {box.x, box.y, static_cast<int>(std::ceil((g.crop.x + g.crop.width) / pixel)) - box.x,
          static_cast<int>(std::ceil((g.crop.y + g.crop.height) / pixel)) - box.y};
}

Size SizeOf(Box box) { return {box.width, box.height}; }

// The part of `crop_pixels`, which are those of OuterCrop(g), that the geometry wants decoded.
Image Cut(const Image& crop_pixels, const Geometry& g) {
  const Box crop = OuterCrop(g);
  const Box box = SourceOf(g);
  Image part;
  part.Resize(box.width, box.height);
  for (int y = 0; y < box.height; ++y) {
    std::memcpy(part.row(y), crop_pixels.row(box.y - crop.y + y) + (box.x - crop.x) * kChannels,
                part.row_bytes());
  }
  return part;
}

Pixels Resized(Resizer* resizer, const Geometry& g, const Image& crop_pixels) {
  const auto row_bytes = static_cast<std::size_t>(g.window.width) * kChannels;
  Pixels out(row_bytes * static_cast<std::size_t>(g.window.height));
  resizer->Resize(g, Cut(crop_pixels, g), out.data(), row_bytes);
  return out;
}

// Every target that this machine has, against plain C++.
class ResizerTargets : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { UseSimdTarget(GetParam()); }
  void TearDown() override { UseSimdTarget(""); }
};

TEST_P(ResizerTargets, AgreeWithScalarTwin) {
  Draws draws(1);
  Resizer simd;
  Resizer scalar(Kernels::kScalar);
  for (int round = 0; round < 400; ++round) {
    const int largest = round % 40 == 0 ? 900 : 120;
    const Geometry g = draws.Any(largest, round % 3 == 0 ? 12 : 150);
    const Image crop = draws.Noise(SizeOf(OuterCrop(g)));
    ASSERT_EQ(Resized(&simd, g, crop), Resized(&scalar, g, crop)) << Describe(g);
  }
}

TEST_P(ResizerTargets, WriteNothingBesideTheirRows) {
  Draws draws(2);
  Resizer resizer;
  for (int round = 0; round < 200; ++round) {
    const Geometry g = draws.Any(100, 70);
    const Image source = Cut(draws.Noise(SizeOf(OuterCrop(g))), g);
    const auto row_bytes = static_cast<std::size_t>(g.window.width) * kChannels;
    const std::size_t stride = row_bytes + 7;
    const auto height = static_cast<std::size_t>(g.window.height);
    // Exactly as long as it must be, so that AddressSanitizer sees the rest.
    const std::size_t total = stride * (height - 1) + row_bytes;
    Pixels first(total, 0x11);
    Pixels second(total, 0xEE);
    resizer.Resize(g, source, first.data(), stride);
    resizer.Resize(g, source, second.data(), stride);
    for (std::size_t i = 0; i < total; ++i) {
      if (i % stride < row_bytes) {
        ASSERT_EQ(first[i], second[i]) << Describe(g);
      } else {
        ASSERT_TRUE(first[i] == 0x11 && second[i] == 0xEE) << Describe(g);
      }
    }
  }
}

TEST_P(ResizerTargets, FlatPicturesStayAsTheyAre) {
  Draws draws(3);
  Resizer resizer;
  for (int round = 0; round < 200; ++round) {
    const Geometry g = draws.Any(300, 60);
    Image crop = draws.Noise(SizeOf(OuterCrop(g)));
    const int shade = round % 3 == 0 ? 255 : draws.Between(0, 255);
    std::memset(crop.row(0), shade, crop.row_bytes() * static_cast<std::size_t>(crop.height()));
    for (const std::uint8_t byte : Resized(&resizer, g, crop))
      ASSERT_EQ(byte, shade) << Describe(g);
  }
}

INSTANTIATE_TEST_SUITE_P(Simd, ResizerTargets, ::testing::ValuesIn(SimdTargets()),
                         [](const auto& target) { return target.param; });

TEST(Resizer, WindowAndFlipsEqualThoseOfTheWholeResult) {
  Draws draws(4);
  Resizer resizer;
  for (int round = 0; round < 200; ++round) {
    const Geometry g = draws.Any(90, 60);
    const Image crop = draws.Noise(SizeOf(OuterCrop(g)));
    Geometry whole = g;
    whole.window = {0, 0, g.resized.width, g.resized.height};
    whole.flip_horizontal = whole.flip_vertical = false;
    const Pixels all = Resized(&resizer, whole, crop);
    const Pixels some = Resized(&resizer, g, crop);
    for (int y = 0; y < g.window.height; ++y) {
      for (int x = 0; x < g.window.width; ++x) {
        const int from_x = g.window.x + (g.flip_horizontal ? g.window.width - 1 - x : x);
        const int from_y = g.window.y + (g.flip_vertical ? g.window.height - 1 - y : y);
        ASSERT_EQ(
            0, std::memcmp(some.data() + (y * g.window.width + x) * kChannels,
                           all.data() + (from_y * g.resized.width + from_x) * kChannels, kChannels))
            << Describe(g);
      }
    }
  }
}

// The first `rows` of `source`, as a decoder hands them over.
void Hand(const Image& source, int rows, RowSink* sink) {
  for (int y = 0; y < rows; y += kRowsTogether) {
    const int count = std::min(kRowsTogether, rows - y);
    std::memcpy(sink->Room(), source.row(y), source.row_bytes() * static_cast<std::size_t>(count));
    sink->Take(count);
  }
}

TEST(Resizer, RowsAsTheyComeMakeThePixelsOfAllAtOnce) {
  Draws draws(8);
  Resizer resizer;
  Resizer by_rows;
  int taken = 0;
  for (int round = 0; round < 400; ++round) {
    const Geometry g = draws.Any(round % 40 == 0 ? 900 : 120, 150);
    const Image crop = draws.Noise(SizeOf(OuterCrop(g)));
    const auto row_bytes = static_cast<std::size_t>(g.window.width) * kChannels;
    Pixels out(row_bytes * static_cast<std::size_t>(g.window.height), 0x11);
    RowSink* sink = by_rows.Begin(g, out.data(), row_bytes);
    ASSERT_EQ(sink != nullptr, PassesOf(g) == ResizePasses::kHorizontalFirst) << Describe(g);
    if (sink == nullptr) continue;
    ++taken;
    const Image source = Cut(crop, g);
    if (round % 3 == 0) {  // a decoder that gives up, and another one
      Hand(draws.Noise({source.width(), source.height()}),
           draws.Between(0, source.height() / kRowsTogether) * kRowsTogether, sink);
      sink = by_rows.Begin(g, out.data(), row_bytes);
    }
    Hand(source, source.height(), sink);
    ASSERT_EQ(out, Resized(&resizer, g, crop)) << Describe(g);
  }
  EXPECT_GT(taken, 100);
}

TEST(Resizer, SameSizeIsACopy) {
  Draws draws(5);
  Resizer resizer;
  Geometry g;
  g.crop = {3, 4, 31, 17};
  g.resized = {31, 17};
  g.window = {0, 0, 31, 17};
  const Image crop = draws.Noise({31, 17});
  const Pixels out = Resized(&resizer, g, crop);
  EXPECT_EQ(0, std::memcmp(out.data(), crop.row(0), out.size()));
}

TEST(Resizer, HundredThousandTapsAgreeWithScalarTwin) {
  Draws draws(6);
  Resizer simd;
  Resizer scalar(Kernels::kScalar);
  for (const ResizeMode mode : {ResizeMode::kPillow, ResizeMode::kPillow12, ResizeMode::kOpenCv}) {
    for (const Size size : {Size{65500, 3}, Size{3, 65500}}) {
      Geometry g;
      g.crop = {0, 0, size.width, size.height};
      g.resized = {2, 1};
      g.window = {0, 0, 2, 1};
      g.mode = mode;
      Image crop = draws.Noise(size);
      EXPECT_EQ(Resized(&simd, g, crop), Resized(&scalar, g, crop)) << Describe(g);
      std::memset(crop.row(0), 255, crop.row_bytes() * static_cast<std::size_t>(size.height));
      EXPECT_EQ(Resized(&simd, g, crop), Pixels(6, 255)) << Describe(g);
    }
  }
}

TEST(SourceOf, IsInsideTheCropAndReachesItsEdges) {
  Draws draws(7);
  for (int round = 0; round < 2000; ++round) {
    Geometry g = draws.Any(500, 300);
    const Box part = SourceOf(g);
    const Box crop = OuterCrop(g);
    EXPECT_GE(part.x, crop.x);
    EXPECT_GE(part.y, crop.y);
    EXPECT_GT(part.width, 0);
    EXPECT_GT(part.height, 0);
    EXPECT_LE(part.x + part.width, crop.x + crop.width);
    EXPECT_LE(part.y + part.height, crop.y + crop.height);
    g.window = {0, 0, g.resized.width, g.resized.height};
    // Enlarging never loses an edge pixel.
    if (g.resized.width >= crop.width && g.resized.height >= crop.height) {
      EXPECT_EQ(SourceOf(g), crop) << Describe(g);
    }
  }
}

}  // namespace
}  // namespace millrace::stages
