#include "pipeline/progressive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/error_text.h"

namespace millrace::pipeline {
namespace {

using test::UsageErrorOf;
using testing::ElementsAre;

Progressive Read(const std::string& json) {
  return ReadProgressive(Params::FromJson(json, "progressive"));
}

std::vector<int> Sides(const Progressive& progressive, int largest, std::uint32_t epochs) {
  std::vector<int> sides;
  for (std::uint32_t epoch = 0; epoch < epochs; ++epoch) {
    sides.push_back(SideInEpoch(progressive, largest, epoch));
  }
  return sides;
}

TEST(Progressive, SidesGrowFromTheFirstToTheLastBetweenTheEpochs) {
  EXPECT_THAT(Sides(Read(R"({"from": 128, "begin_epoch": 2, "end_epoch": 6})"), 224, 8),
              ElementsAre(128, 128, 128, 160, 192, 192, 224, 224));
  EXPECT_THAT(Sides(Read(R"({"from": 112, "begin_epoch": 0, "end_epoch": 4, "step": 4})"), 224, 6),
              ElementsAre(112, 140, 168, 196, 224, 224));
  EXPECT_THAT(Sides(Read(R"({"from": 32, "begin_epoch": 1, "end_epoch": 2})"), 224, 3),
              ElementsAre(32, 32, 224));
}

TEST(Progressive, MiddleOfTwoMultiplesGoesToTheEvenOne) {
  // 2.5 and 3.5 times 32.
  EXPECT_THAT(Sides(Read(R"({"from": 64, "begin_epoch": 0, "end_epoch": 4})"), 128, 5),
              ElementsAre(64, 64, 96, 128, 128));
}

TEST(Progressive, SidesAreMultiplesThatNeverShrinkWithinBothEnds) {
  for (const int step : {1, 3, 4, 32}) {
    for (const std::uint32_t begin : {0u, 1u, 35u}) {
      for (const std::uint32_t length : {1u, 2u, 7u, 60u}) {
        for (const int steps : {1, 2, 11}) {
          const Progressive progressive{.from = 2 * step,
                                        .begin_epoch = begin,
                                        .end_epoch = begin + length,
                                        .step = step,
                                        .section = Params()};
          const int largest = (2 + steps) * step;
          int before = progressive.from;
          for (std::uint32_t epoch = 0; epoch < begin + length + 3; ++epoch) {
            const int side = SideInEpoch(progressive, largest, epoch);
            EXPECT_EQ(side % step, 0);
            EXPECT_GE(side, before);
            if (epoch <= begin) {
              EXPECT_EQ(side, progressive.from);
            }
            if (epoch >= begin + length) {
              EXPECT_EQ(side, largest);
            }
            before = side;
          }
          EXPECT_EQ(before, largest);
        }
      }
    }
  }
}

TEST(Progressive, SettingsThatMakeNoRampAreErrors) {
  const auto error_of = [](const std::string& json) { return UsageErrorOf([&] { Read(json); }); };
  for (const char* end : {"4", "5"}) {
    EXPECT_EQ(error_of(std::string(R"({"from": 32, "begin_epoch": 5, "end_epoch": )") + end + "}"),
              std::string("progressive: end_epoch: is ") + end +
                  "; it must come after begin_epoch = 5. Pictures have their first size up to "
                  "begin_epoch and their last from end_epoch on");
  }
  EXPECT_EQ(error_of(R"({"from": 150, "begin_epoch": 5, "end_epoch": 6})"),
            "progressive: from: is 150, which is not a multiple of step = 32");
  EXPECT_EQ(error_of(R"({"from": 32, "end_epoch": 6})"),
            "progressive: begin_epoch: is missing; it must be a whole number");
  EXPECT_EQ(error_of(R"({"from": 0, "begin_epoch": 5, "end_epoch": 6})"),
            "progressive: from: is 0; it must be between 1 and 16384");
}

TEST(Progressive, OpsWhosePicturesCannotGrowSoAreErrors) {
  const auto error_of = [](const char* json, stages::Size largest) {
    return UsageErrorOf([&] { CheckProgressive(Read(json), largest); });
  };
  constexpr const char* kFrom64 = R"({"from": 64, "begin_epoch": 0, "end_epoch": 4})";
  EXPECT_EQ(error_of(kFrom64, {96, 96}), "");
  EXPECT_EQ(error_of(kFrom64, {96, 128}),
            "progressive: from: is a side of squares, but ops make pictures of 96 x 128 pixels");
  for (const int side : {32, 64}) {
    EXPECT_EQ(error_of(kFrom64, {side, side}),
              "progressive: from: is 64; it must be less than the " + std::to_string(side) +
                  " pixels of ops, to which pictures grow");
  }
  EXPECT_EQ(error_of(kFrom64, {100, 100}),
            "progressive: step: is 32, of which the 100 pixels of ops are not a multiple");
}

}  // namespace
}  // namespace millrace::pipeline
