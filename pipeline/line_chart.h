// Curves as a picture of an HTML page (html.h): axes with ticks, a legend, values under the
// pointer.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::pipeline {

struct ChartPoint {
  double x = 0;
  double y = 0;
};

struct ChartSeries {
  std::string name;                // text
  std::vector<ChartPoint> points;  // ascending in x; those that are not finite are left out
};

struct LineChart {
  std::string title;   // text, as are the other names
  std::string x_name;  // below the axis
  std::vector<ChartSeries> series;
  bool has_legend = false;                          // names the series
  std::string (*format_y)(double value) = nullptr;  // of values under the pointer
  std::function<std::string(double x)> describe_x;  // the same of places
  // What the axes reach at least.
  std::optional<double> left = {};
  std::optional<double> right = {};
  std::optional<double> bottom = {};
  std::optional<double> top = {};
};

// A figure of the chart. Long series are drawn as the means of neighbours with a band from the
// smallest to the largest. A chart without a point says so.
std::string LineChartHtml(const LineChart& chart);

// At most `most` round numbers within [low, high], evenly spaced by 1, 2 or 5 times a power of ten;
// at least two but where low == high. REQUIRES: low <= high, both finite; most >= 6
std::vector<double> RoundTicks(double low, double high, int most);

// Ticks as they are written beside an axis: as many digits as their distance needs, "20k", "1.5M".
std::vector<std::string> TickLabels(const std::vector<double>& ticks);

}  // namespace millrace::pipeline
