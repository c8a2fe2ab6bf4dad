#include "stages/decode_scale.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <vector>

#include "base/random.h"
#include "stages/decode.h"
#include "stages/resize.h"
#include "storage/jpeg_encode.h"
#include "tests/support/tiny_images.h"

namespace millrace::stages {
namespace {

using Bytes = std::vector<std::byte>;

Geometry Crop(Box crop, Size resized) {
  Geometry geometry;
  geometry.crop = crop;
  geometry.resized = resized;
  geometry.window = {0, 0, resized.width, resized.height};
  return geometry;
}

storage::RecordView RecordOf(std::span<const std::byte> payload, Size size) {
  return {.width = static_cast<std::uint32_t>(size.width),
          .height = static_cast<std::uint32_t>(size.height),
          .payload = payload};
}

TEST(ChooseScale, IsTheSmallestThatLeavesNothingToEnlarge) {
  const Bytes jpeg = test::MakeJpeg();
  const storage::RecordView record = RecordOf(jpeg, {48, 40});
  RandomStream random({}, 0);
  const auto below = [&](std::uint32_t bound) { return static_cast<int>(random.Below(bound)); };
  int smaller = 0;
  for (int round = 0; round < 20000; ++round) {
    const Geometry g = Crop({below(90), below(90), 1 + below(900), 1 + below(900)},
                            {1 + below(300), 1 + below(300)});
    const int scale = ChooseScale(DecodeMode::kFast, record, g);
    const auto enlarges = [&](int eighths) {
      return g.crop.width * eighths / 8.0 < g.resized.width ||
             g.crop.height * eighths / 8.0 < g.resized.height;
    };
    ASSERT_TRUE(scale == 8 || scale == 4 || scale == 2 || scale == 1);
    if (scale != kFullScale) {
      ++smaller;
      EXPECT_FALSE(enlarges(scale));
    }
    EXPECT_TRUE(scale == 1 || enlarges(scale / 2));
    EXPECT_EQ(ChooseScale(DecodeMode::kExact, record, g), kFullScale);
  }
  EXPECT_GT(smaller, 5000);
}

TEST(ChooseScale, OpenCvAndPngsKeepTheirSize) {
  Geometry g = Crop({0, 0, 400, 400}, {20, 20});
  const Bytes jpeg = test::MakeJpeg({.width = 400, .height = 400});
  EXPECT_EQ(ChooseScale(DecodeMode::kFast, RecordOf(jpeg, {400, 400}), g), 1);
  g.mode = ResizeMode::kPillow12;
  EXPECT_EQ(ChooseScale(DecodeMode::kFast, RecordOf(jpeg, {400, 400}), g), 1);
  g.mode = ResizeMode::kOpenCv;
  EXPECT_EQ(ChooseScale(DecodeMode::kFast, RecordOf(jpeg, {400, 400}), g), kFullScale);
  g.mode = ResizeMode::kPillow;
  const Bytes png = test::MakePng(400, 400, 1);
  EXPECT_EQ(ChooseScale(DecodeMode::kFast, RecordOf(png, {400, 400}), g), kFullScale);
}

TEST(ScaledSize, RoundsUp) {
  EXPECT_EQ(ScaledSize({65500, 1}, 1), (Size{8188, 1}));
  EXPECT_EQ(ScaledSize({17, 16}, 4), (Size{9, 8}));
  EXPECT_EQ(ScaledSize({17, 16}, 8), (Size{17, 16}));
}

// Along one axis one of red and blue grows by 1 per pixel and the other falls: their difference
// tells the place. What rounding adds to it has the other sign when they change roles.
struct Ramp {
  Bytes jpeg;
  std::size_t rising;   // channel
  std::size_t falling;  // channel
};

constexpr int kSide = 250;  // [pixels]

Ramp MakeRamp(bool along_x, bool red_rises, storage::Subsampling subsampling) {
  const std::size_t rising = red_rises ? 0 : 2;
  std::vector<std::uint8_t> pixels;
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const int place = along_x ? x : y;
      std::uint8_t pixel[kChannels] = {0, 128, 0};
      pixel[rising] = static_cast<std::uint8_t>(place);
      pixel[2 - rising] = static_cast<std::uint8_t>(kSide - 1 - place);
      pixels.insert(pixels.end(), pixel, pixel + kChannels);
    }
  }
  return {.jpeg = storage::EncodeJpeg(pixels, kSide, kSide,
                                      {.quality = 100, .subsampling = subsampling}),
          .rising = rising,
          .falling = 2 - rising};
}

// How far, on average, the result shows places of the ramp from where the geometry puts them
// [pixels of the picture]. The outermost pixels average over fewer places and do not count.
double DriftOf(const Ramp& ramp, bool along_x, const Geometry& g) {
  Decoder decoder;
  Image source;
  EXPECT_TRUE(decoder.Decode(RecordOf(ramp.jpeg, {kSide, kSide}), SourceOf(g), &source, g.scale));
  const Size size = g.resized;
  const auto row_bytes = static_cast<std::size_t>(size.width) * kChannels;
  std::vector<std::uint8_t> out(row_bytes * static_cast<std::size_t>(size.height));
  Resizer().Resize(g, source, out.data(), row_bytes);
  double sum = 0;
  for (int y = 1; y + 1 < size.height; ++y) {
    for (int x = 1; x + 1 < size.width; ++x) {
      const std::uint8_t* pixel = out.data() + static_cast<std::size_t>(y) * row_bytes +
                                  static_cast<std::size_t>(x) * kChannels;
      const double shown = (pixel[ramp.rising] - pixel[ramp.falling] + kSide - 1) / 2.0;
      const double expected = along_x ? g.crop.x + (x + 0.5) * g.crop.width / size.width - 0.5
                                      : g.crop.y + (y + 0.5) * g.crop.height / size.height - 0.5;
      sum += shown - expected;
    }
  }
  return sum / ((size.width - 2) * (size.height - 2));
}

TEST(DecodeScale, NothingMovesWhateverTheScaleAndThePlaceOfTheCrop) {
  RandomStream random({.seed = 1}, 0);
  const auto between = [&](int low, int high) {
    return low + static_cast<int>(random.Below(static_cast<std::uint32_t>(high - low + 1)));
  };
  for (const auto subsampling : {storage::Subsampling::k444, storage::Subsampling::k420}) {
    for (const bool along_x : {true, false}) {
      const Ramp red = MakeRamp(along_x, true, subsampling);
      const Ramp blue = MakeRamp(along_x, false, subsampling);
      for (const int scale : {8, 4, 2, 1}) {
        constexpr int kRounds = 50;
        double mean = 0;
        for (int round = 0; round < kRounds; ++round) {
          Box crop{0, 0, between(100, kSide), between(100, kSide)};
          crop.x = between(0, kSide - crop.width);
          crop.y = between(0, kSide - crop.height);
          Geometry g = Crop(crop, {crop.width * scale / 8, crop.height * scale / 8});
          g.scale = scale;
          const double drift = (DriftOf(red, along_x, g) + DriftOf(blue, along_x, g)) / 2;
          // Half a pixel of the picture, or of the smaller one, would be 0.5 to 4.
          EXPECT_LT(std::abs(drift), 0.4) << fmt::format("scale {}, crop {}x{} at {},{}", scale,
                                                         crop.width, crop.height, crop.x, crop.y);
          mean += drift / kRounds;
        }
        EXPECT_LT(std::abs(mean), 0.05) << "scale " << scale << (along_x ? ", x" : ", y");
      }
    }
  }
}

}  // namespace
}  // namespace millrace::stages
