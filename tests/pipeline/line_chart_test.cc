#include "pipeline/line_chart.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace millrace::pipeline {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pointwise;

std::size_t CountOf(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

LineChart Chart(std::vector<ChartSeries> series) {
  return {.title = "loss",
          .x_name = "step",
          .series = std::move(series),
          .format_y = [](double value) { return fmt::format("{:.2f}", value); },
          .describe_x = [](double x) { return fmt::format("step {}", x); }};
}

TEST(RoundTicks, AreRoundAndWithin) {
  EXPECT_THAT(RoundTicks(0, 1, 6),
              Pointwise(DoubleNear(1e-12), std::vector{0.0, 0.2, 0.4, 0.6, 0.8, 1.0}));
  EXPECT_THAT(RoundTicks(13, 480, 6), ElementsAre(100, 200, 300, 400));
  EXPECT_THAT(RoundTicks(-0.3, 0.4, 6),
              Pointwise(DoubleNear(1e-12), std::vector{-0.2, 0.0, 0.2, 0.4}));
  EXPECT_THAT(RoundTicks(7, 7, 6), ElementsAre(7));
}

TEST(RoundTicks, AnyRangeHasTwoToSoManyAsAreWanted) {
  for (double low = 1e-7; low < 1e7; low *= 3.7) {
    for (double factor = 1.001; factor < 1e5; factor *= 1.9) {
      for (const int most : {6, 9}) {
        const std::vector<double> ticks = RoundTicks(low, low * factor, most);
        ASSERT_GE(ticks.size(), 2u) << low << " * " << factor;
        ASSERT_LE(ticks.size(), static_cast<std::size_t>(most)) << low << " * " << factor;
        EXPECT_GE(ticks.front(), low * (1 - 1e-9));
        EXPECT_LE(ticks.back(), low * factor * (1 + 1e-9));
      }
    }
  }
}

TEST(TickLabels, HaveTheDigitsThatTellThemApart) {
  EXPECT_THAT(TickLabels({0, 0.2, 0.4}), ElementsAre("0", "0.2", "0.4"));
  EXPECT_THAT(TickLabels({0, 0.05, 0.1}), ElementsAre("0", "0.05", "0.10"));
  EXPECT_THAT(TickLabels({2, 3, 4}), ElementsAre("2", "3", "4"));
  EXPECT_THAT(TickLabels({0, 500, 1000}), ElementsAre("0", "500", "1000"));
  EXPECT_THAT(TickLabels({0, 10000, 20000}), ElementsAre("0", "10k", "20k"));
  EXPECT_THAT(TickLabels({0, 500000, 1000000}), ElementsAre("0", "0.5M", "1.0M"));
  EXPECT_THAT(TickLabels({0, 0.0001, 0.0002}), ElementsAre("0", "0.0001", "0.0002"));
  EXPECT_THAT(TickLabels({0, 2e-6, 4e-6}), ElementsAre("0", "2e-06", "4e-06"));
}

TEST(LineChart, EachPlaceTellsTheValuesOfAllSeries) {
  LineChart chart = Chart({{"training", {{10, 2}, {20, 1}}}, {"validation", {{20, 1.5}}}});
  EXPECT_THAT(LineChartHtml(chart), Not(HasSubstr("<span")));
  chart.has_legend = true;
  const std::string html = LineChartHtml(chart);
  EXPECT_THAT(html, HasSubstr("<title>step 10: training 2.00</title>"));
  EXPECT_THAT(html, HasSubstr("<title>step 20: training 1.00, validation 1.50</title>"));
  EXPECT_EQ(CountOf(html, "<title>"), 2u);
  EXPECT_EQ(CountOf(html, "class=\"line s0\""), 1u);
  EXPECT_EQ(CountOf(html, "class=\"line s1\""), 1u);
  EXPECT_THAT(html, HasSubstr("<span class=\"s1\">validation</span>"));
  EXPECT_THAT(html, Not(HasSubstr("class=\"band"))) << "each point is a value of its own";
}

TEST(LineChart, CurveGoesThroughItsPoints) {
  LineChart chart = Chart({{"loss", {{0, 0}, {5, 5}, {10, 10}}}});
  chart.bottom = 0;
  chart.top = 10;
  EXPECT_THAT(LineChartHtml(chart), HasSubstr("d=\"M46.0 198.0L218.0 103.0L390.0 8.0\""));
}

TEST(LineChart, AxesReachWhatIsWantedAndNoLessThanThePoints) {
  LineChart chart = Chart({{"loss", {{5, 5}, {10, 12}}}});
  chart.left = 0;
  chart.right = 7;
  chart.bottom = 0;
  chart.top = 12;
  EXPECT_THAT(LineChartHtml(chart), HasSubstr("d=\"M218.0 118.8L390.0 8.0\""));
}

TEST(LineChart, ManyPointsBecomeMeansWithABand) {
  ChartSeries series{"loss", {}};
  for (int i = 0; i < 1000; ++i) {
    series.points.push_back({static_cast<double>(i), i % 5 == 0 ? 3.0 : 1.0});
  }
  const std::string html = LineChartHtml(Chart({series}));
  EXPECT_EQ(CountOf(html, "<title>"), 200u);
  EXPECT_THAT(html, HasSubstr("<title>step 4: loss 1.40 (mean of 5: 1.00 to 3.00)</title>"));
  EXPECT_EQ(CountOf(html, "class=\"band s0\""), 1u);
}

TEST(LineChart, WhatIsNotFiniteIsLeftOut) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string html = LineChartHtml(
      Chart({{"loss", {{1, nan}, {2, std::numeric_limits<double>::infinity()}, {3, 4}}}}));
  EXPECT_EQ(CountOf(html, "<title>"), 1u);
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  EXPECT_THAT(html, Not(HasSubstr("inf")));
}

TEST(LineChart, OfNothingSaysSo) {
  const std::string html = LineChartHtml(Chart({{"loss", {}}}));
  EXPECT_THAT(html, HasSubstr("nothing was told of it"));
  EXPECT_THAT(html, Not(HasSubstr("<svg")));
}

TEST(LineChart, NamesAreEscaped) {
  LineChart chart = Chart({{"<a>", {{1, 1}}}, {"b", {{1, 1}}}});
  chart.title = "<title>";
  chart.has_legend = true;
  const std::string html = LineChartHtml(chart);
  EXPECT_THAT(html, HasSubstr("<b>&lt;title&gt;</b>"));
  EXPECT_THAT(html, HasSubstr("<span class=\"s0\">&lt;a&gt;</span>"));
  EXPECT_THAT(html, Not(HasSubstr("<a>")));
}

}  // namespace
}  // namespace millrace::pipeline
