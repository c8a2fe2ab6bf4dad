#include "pipeline/report/figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace millrace::pipeline {
namespace {

RunLine Line(const std::string& group, std::uint64_t step,
             std::map<std::string, std::string> values) {
  return {.group = group, .step = step, .values = std::move(values)};
}

TEST(WilsonInterval, IsAsPublished) {
  // R. G. Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I,
  // method 3.
  struct Example {
    double right, samples, low, high;
  };
  for (const Example& one : {Example{81, 263, 0.2553, 0.3662}, Example{15, 148, 0.0624, 0.1605},
                             Example{0, 20, 0.0000, 0.1611}, Example{1, 29, 0.0061, 0.1718}}) {
    const Interval likely = WilsonInterval(one.right, one.samples);
    EXPECT_NEAR(likely.low, one.low, 5.1e-5) << one.samples;
    EXPECT_NEAR(likely.high, one.high, 5.1e-5) << one.samples;
  }
}

TEST(WilsonInterval, EndsWhereTheShareWouldBeJustUnlikely) {
  // At each end p the share is 1.96 standard deviations of a share of p away.
  for (const auto& [right, samples] : {std::pair{15.0, 20.0}, {38000.0, 50000.0}, {3.0, 1000.0}}) {
    const Interval likely = WilsonInterval(right, samples);
    for (const double p : {likely.low, likely.high}) {
      const double deviation = std::sqrt(p * (1 - p) / samples);
      EXPECT_NEAR(std::abs(right / samples - p) / deviation, 1.959964, 1e-5);
    }
  }
}

TEST(WilsonInterval, StaysWithinZeroAndOneAndHoldsTheShare) {
  for (const double samples : {1.0, 2.0, 10.0, 1e6}) {
    for (const double share : {0.0, 0.5, 1.0}) {
      const Interval likely = WilsonInterval(share * samples, samples);
      EXPECT_GE(likely.low, 0);
      EXPECT_LE(likely.high, 1);
      EXPECT_LE(likely.low, share);
      EXPECT_GE(likely.high, share - 1e-12);
      EXPECT_LT(likely.low, likely.high);
    }
  }
  EXPECT_EQ(WilsonInterval(0, 0).low, 0);
  EXPECT_EQ(WilsonInterval(0, 0).high, 1);
}

TEST(Median, IsTheMiddleOfWhatIsFinite) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(Median({3, nan, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1}), 2.5);
  EXPECT_TRUE(std::isnan(Median({nan})));
  EXPECT_TRUE(std::isnan(Median({})));
}

TEST(Best, IsTheFirstOfTheHighest) {
  RunRecord run;
  run.lines = {
      Line("train", 1, {{"loss", "2"}}),
      Line("val", 10, {{"epoch", "1"}, {"top1", "0.5"}, {"top5", "0.75"}, {"samples", "8"}}),
      Line("val", 20, {{"epoch", "2"}, {"top1", "0.625"}, {"samples", "8"}}),
      Line("val", 30, {{"epoch", "3"}, {"top1", "0.625"}, {"samples", "8"}}),
      Line("val", 40, {{"epoch", "4"}, {"top1", "0.25"}, {"samples", "8"}})};
  const std::vector<Validation> validations = Validations(run);
  ASSERT_EQ(validations.size(), 4u);
  EXPECT_EQ(validations[0].top5, 0.75);
  EXPECT_EQ(validations[3].epoch, 4u);
  EXPECT_EQ(Best(validations)->step, 20u);
  EXPECT_NEAR(Best(validations)->Top1Interval().low, WilsonInterval(5, 8).low, 1e-12);
  EXPECT_FALSE(Best({}));
}

TEST(Curve, LinesThatAreToldAgainReplaceTheEarlierOnes) {
  const std::vector<RunLine> lines = {
      Line("train", 1, {{"images_per_s", "10"}}), Line("train", 2, {{"images_per_s", "20"}}),
      Line("system", 2, {{"images_per_s", "7"}}), Line("train", 3, {{"images_per_s", "30"}}),
      Line("train", 2, {{"images_per_s", "21"}}), Line("train", 3, {{"other", "1"}})};
  const std::vector<ChartPoint> points = Curve(lines, "train", "images_per_s");
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0].y, 10);
  EXPECT_EQ(points[1].x, 2);
  EXPECT_EQ(points[1].y, 21);
}

TEST(Pace, WaitsCountForAsLongAsTheyLasted) {
  const std::vector<RunLine> lines = {
      Line("train", 1, {{"images_per_s", "100"}, {"data_wait_share", "0"}}),
      Line("train", 2, {{"images_per_s", "100"}, {"data_wait_share", "0"}}),
      Line("train", 3, {{"images_per_s", "25"}, {"data_wait_share", "0.75"}}),
      Line("system", 3, {{"images_per_s", "1"}})};
  const std::optional<Pace> pace = PaceOf(lines);
  ASSERT_TRUE(pace);
  EXPECT_EQ(pace->images_per_s, 100);
  EXPECT_NEAR(pace->data_wait_share, 0.5, 1e-12) << "3 of 6 times as long as a quick line";
  EXPECT_FALSE(PaceOf({}));
}

TEST(EpochsOfSteps, AreThoseOfTheLinesAround) {
  RunRecord run;
  run.lines = {Line("train", 10, {{"epoch", "1"}}), Line("train", 20, {{"epoch", "2"}})};
  const EpochsOfSteps epochs(run);
  EXPECT_EQ(epochs.At(7), 1u);
  EXPECT_EQ(epochs.At(10), 1u);
  EXPECT_EQ(epochs.At(11), 2u);
  EXPECT_EQ(epochs.At(25), 2u);
  EXPECT_EQ(EpochsOfSteps(RunRecord{}).At(1), 0u);
}

}  // namespace
}  // namespace millrace::pipeline
