#include "tracking/prediction_sheet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "tracking/canvas.h"

namespace millrace::tracking {
namespace {

constexpr Color kGreen{0, 140, 60};
constexpr Color kRed{214, 20, 30};
constexpr int kFrame = 4;
constexpr int kGap = 12;

struct Decoded {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;

  Color At(int x, int y) const {
    const auto* pixel = pixels.data() + 3 * (std::ptrdiff_t{y} * width + x);
    return {pixel[0], pixel[1], pixel[2]};
  }
  bool operator==(const Decoded&) const = default;
};

Decoded Decode(const Picture& picture) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_memory(&image, picture.png.data(), picture.png.size()), 0);
  EXPECT_EQ(image.format, static_cast<png_uint_32>(PNG_FORMAT_RGB));
  EXPECT_EQ(image.width, picture.width);
  EXPECT_EQ(image.height, picture.height);
  Decoded decoded{static_cast<int>(image.width), static_cast<int>(image.height), {}};
  decoded.pixels.resize(PNG_IMAGE_SIZE(image));
  EXPECT_NE(png_image_finish_read(&image, nullptr, decoded.pixels.data(), 0, nullptr), 0);
  return decoded;
}

Prediction Make(int width, int height, bool right) {
  Prediction made{.sample = 12345,
                  .said = {"tench", 0.625},
                  .next = {"goldfish", 0.25},
                  .truth = {right ? "tench" : "goldfish", right ? 0.625 : 0.25},
                  .right = right,
                  .loss = 1.5,
                  .pixels = {}};
  made.pixels.resize(static_cast<std::size_t>(3 * width * height));
  for (std::size_t i = 0; i < made.pixels.size(); ++i) {
    made.pixels[i] = static_cast<std::uint8_t>(90 + i % 101);
  }
  return made;
}

Decoded Draw(int width, int height, const std::vector<Prediction>& predictions) {
  const Picture picture = DrawPredictions("validation: hardest", 7, static_cast<unsigned>(width),
                                          static_cast<unsigned>(height), predictions);
  EXPECT_EQ(picture.name, "validation: hardest");
  EXPECT_EQ(picture.step, 7u);
  return Decode(picture);
}

TEST(PredictionSheet, RightOnesAreFramedGreenAndWrongOnesRed) {
  const Decoded sheet = Draw(200, 100, {Make(200, 100, true), Make(200, 100, false)});
  constexpr int kSecond = kGap + 200 + 2 * kFrame + kGap;
  for (const auto& [left, color] :
       std::vector<std::pair<int, Color>>{{kGap, kGreen}, {kSecond, kRed}}) {
    for (int x = 0; x < 200 + 2 * kFrame; ++x) {
      EXPECT_EQ(sheet.At(left + x, kGap), color);
      EXPECT_EQ(sheet.At(left + x, kGap + 100 + 2 * kFrame - 1), color);
    }
    for (int y = 0; y < 100 + 2 * kFrame; ++y) {
      EXPECT_EQ(sheet.At(left, kGap + y), color);
      EXPECT_EQ(sheet.At(left + 200 + 2 * kFrame - 1, kGap + y), color);
    }
  }
}

TEST(PredictionSheet, PicturesAreThemselvesPixelByPixel) {
  for (const auto& [width, height, scale] : std::vector<std::tuple<int, int, int>>{
           {224, 160, 1}, {160, 10, 1}, {159, 20, 2}, {64, 64, 3}, {1, 1, 160}}) {
    const Prediction prediction = Make(width, height, false);
    const Decoded sheet = Draw(width, height, {prediction});
    for (int y = 0; y < scale * height; ++y) {
      for (int x = 0; x < scale * width; ++x) {
        const auto* pixel =
            prediction.pixels.data() + 3 * (std::ptrdiff_t{y / scale} * width + x / scale);
        ASSERT_EQ(sheet.At(kGap + kFrame + x, kGap + kFrame + y),
                  (Color{pixel[0], pixel[1], pixel[2]}))
            << width << "x" << height << " at " << x << "," << y;
      }
    }
  }
}

TEST(PredictionSheet, SixAreInARow) {
  const Decoded one = Draw(160, 40, {Make(160, 40, true)});
  const std::vector<Prediction> seven(7, Make(160, 40, true));
  const Decoded sheet = Draw(160, 40, seven);
  EXPECT_EQ(sheet.width, 6 * (one.width - kGap) + kGap);
  EXPECT_EQ(sheet.height, 2 * (one.height - kGap) + kGap);
  for (int y = 0; y < one.height - kGap; ++y) {
    for (int x = 0; x < one.width - kGap; ++x) {
      ASSERT_EQ(sheet.At(x, y + one.height - kGap), one.At(x, y)) << x << "," << y;
    }
  }
}

TEST(PredictionSheet, EveryPartOfTheCaptionShows) {
  const Prediction plain = Make(160, 20, false);
  std::vector<Decoded> seen = {Draw(160, 20, {plain})};
  const auto expect_new = [&](void (*change)(Prediction&)) {
    Prediction changed = plain;
    change(changed);
    const Decoded sheet = Draw(160, 20, {changed});
    EXPECT_EQ(sheet.width, seen[0].width);
    EXPECT_EQ(sheet.height, seen[0].height);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), sheet), 0) << seen.size();
    seen.push_back(sheet);
  };
  expect_new([](Prediction& it) { it.sample = 12346; });
  expect_new([](Prediction& it) { it.said.name = "bench"; });
  expect_new([](Prediction& it) { it.said.probability = 0.73; });
  expect_new([](Prediction& it) { it.next.name = "carp"; });
  expect_new([](Prediction& it) { it.next.probability = 0.16; });
  expect_new([](Prediction& it) { it.truth.name = "carp"; });
  expect_new([](Prediction& it) { it.truth.probability = 0.01; });
  expect_new([](Prediction& it) { it.loss = 1.51; });
  expect_new([](Prediction& it) { it.right = true; });
  expect_new([](Prediction& it) { it.next = {}; });
  expect_new([](Prediction& it) { it.said = it.next = {}; });
}

TEST(PredictionSheet, LongNamesStayWithinTheirCellAndLeaveTheNumberAlone) {
  const Prediction shorter = Make(160, 20, true);
  Prediction longer = shorter;
  for (Guess* guess : {&longer.said, &longer.next, &longer.truth}) {
    guess->name = "Überlanger Name, den niemand liest, und noch einer, und Слон индийский";
  }
  const Decoded one = Draw(160, 20, {shorter, shorter});
  const Decoded other = Draw(160, 20, {longer, shorter});
  ASSERT_EQ(other.width, one.width);
  constexpr int kCell = 160 + 2 * kFrame;
  constexpr int kNumber = 28;  // "0.62" takes a little more
  bool differ = false;
  for (int y = 0; y < one.height; ++y) {
    for (int x = 0; x < one.width; ++x) {
      if (x >= kGap && x < kGap + kCell - kNumber) {
        differ |= one.At(x, y) != other.At(x, y);
      } else {
        ASSERT_EQ(other.At(x, y), one.At(x, y)) << x << "," << y;
      }
    }
  }
  EXPECT_TRUE(differ);
}

TEST(PredictionSheet, SamePredictionsGiveTheSameBytes) {
  const std::vector<Prediction> predictions = {Make(64, 64, true), Make(64, 64, false)};
  EXPECT_EQ(DrawPredictions("a", 1, 64, 64, predictions).png,
            DrawPredictions("a", 1, 64, 64, predictions).png);
}

}  // namespace
}  // namespace millrace::tracking
