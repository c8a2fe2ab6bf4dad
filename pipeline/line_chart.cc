#include "pipeline/line_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/check.h"
#include "pipeline/html.h"

namespace millrace::pipeline {
namespace {

// Of the drawing, in its own units: about a pixel each where three charts stand in a row, and on a
// phone, where one does.
constexpr double kWidth = 400;
constexpr double kHeight = 230;
constexpr double kLeft = 46;
constexpr double kRight = kWidth - 10;
constexpr double kTop = 8;
constexpr double kBottom = kHeight - 32;

constexpr std::size_t kMostPoints = 200;  // of a drawn series: two units each
constexpr std::size_t kMostDots = 40;     // series with more points are a line only
constexpr int kYTicks = 6;
constexpr int kXTicks = 6;

// Neighbours of a series, drawn as one point.
struct Drawn {
  double x = 0;     // of the last one
  double mean = 0;  // of y
  double least = 0;
  double most = 0;
  std::size_t count = 0;
};

std::vector<Drawn> Draw(const ChartSeries& series) {
  std::vector<ChartPoint> points;
  for (const ChartPoint& point : series.points) {
    if (std::isfinite(point.x) && std::isfinite(point.y)) points.push_back(point);
  }
  const std::size_t together = (points.size() + kMostPoints - 1) / kMostPoints;
  std::vector<Drawn> drawn;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double y = points[i].y;
    if (i % together == 0) drawn.push_back({.least = y, .most = y});
    Drawn& last = drawn.back();
    last.x = points[i].x;
    last.mean += y;
    last.least = std::min(last.least, y);
    last.most = std::max(last.most, y);
    ++last.count;
  }
  for (Drawn& point : drawn) point.mean /= static_cast<double>(point.count);
  return drawn;
}

// One axis: values to places.
struct Axis {
  double low;
  double high;
  double from;  // where `low` is
  double to;

  double At(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

class Picture {
 public:
  explicit Picture(const LineChart& chart) : chart_(chart) {
    for (const ChartSeries& series : chart.series) drawn_.push_back(Draw(series));
    bool first = true;
    for (const auto& points : drawn_) {
      for (const Drawn& point : points) {
        if (first) {
          x_ = {point.x, point.x, kLeft, kRight};
          y_ = {point.least, point.most, kBottom, kTop};
          first = false;
        }
        x_.low = std::min(x_.low, point.x);
        x_.high = std::max(x_.high, point.x);
        y_.low = std::min(y_.low, point.least);
        y_.high = std::max(y_.high, point.most);
      }
    }
    is_empty_ = first;
    if (is_empty_) return;
    if (chart.left) x_.low = std::min(x_.low, *chart.left);
    if (chart.right) x_.high = std::max(x_.high, *chart.right);
    if (chart.bottom) y_.low = std::min(y_.low, *chart.bottom);
    if (chart.top) y_.high = std::max(y_.high, *chart.top);
    Widen(x_);
    Widen(y_);
    // The line keeps clear of the frame where nothing says where the axis ends.
    const double margin = 0.04 * (y_.high - y_.low);
    if (!chart.bottom || *chart.bottom != y_.low) y_.low -= margin;
    if (!chart.top || *chart.top != y_.high) y_.high += margin;
  }

  bool is_empty() const { return is_empty_; }

  std::string Svg() const {
    std::string svg =
        fmt::format(R"(<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">)", kWidth,
                    kHeight, EscapeHtml(chart_.title));
    svg += "\n" + Axes();
    for (std::size_t i = 0; i < drawn_.size(); ++i) svg += Curve(drawn_[i], i);
    return svg + Places() + "</svg>\n";
  }

 private:
  static void Widen(Axis& axis) {
    if (axis.low < axis.high) return;
    const double half = axis.low == 0 ? 0.5 : std::abs(axis.low) / 2;
    axis.low -= half;
    axis.high += half;
  }

  std::string Axes() const {
    std::string svg = "<path class=\"grid\" d=\"";
    const std::vector<double> y_ticks = RoundTicks(y_.low, y_.high, kYTicks);
    for (const double tick : y_ticks) {
      svg += fmt::format("M{:.1f} {:.1f}H{:.1f}", kLeft, y_.At(tick), kRight);
    }
    svg += "\"/>";
    const std::vector<std::string> y_labels = TickLabels(y_ticks);
    for (std::size_t i = 0; i < y_ticks.size(); ++i) {
      svg += fmt::format(R"(<text class="y" x="{:.1f}" y="{:.1f}">{}</text>)", kLeft - 6,
                         y_.At(y_ticks[i]) + 4, y_labels[i]);
    }
    const std::vector<double> x_ticks = RoundTicks(x_.low, x_.high, kXTicks);
    svg += fmt::format(R"(<path class="axis" d="M{:.1f} {:.1f}H{:.1f})", kLeft, kBottom, kRight);
    for (const double tick : x_ticks) {
      svg += fmt::format("M{:.1f} {:.1f}v4", x_.At(tick), kBottom);
    }
    svg += "\"/>";
    const std::vector<std::string> x_labels = TickLabels(x_ticks);
    for (std::size_t i = 0; i < x_ticks.size(); ++i) {
      svg += fmt::format(R"(<text class="x" x="{:.1f}" y="{:.1f}">{}</text>)",
                         std::min(x_.At(x_ticks[i]), kRight - 8), kBottom + 16, x_labels[i]);
    }
    return svg +
           fmt::format(R"(<text class="y" x="{:.1f}" y="{:.1f}">{}</text>)", kRight, kHeight - 2,
                       EscapeHtml(chart_.x_name)) +
           "\n";
  }

  std::string Curve(const std::vector<Drawn>& points, std::size_t index) const {
    std::string line;
    std::string up;
    std::string back;
    bool has_band = false;
    for (const Drawn& point : points) {
      const double x = x_.At(point.x);
      line += fmt::format("{}{:.1f} {:.1f}", line.empty() ? "M" : "L", x, y_.At(point.mean));
      up += fmt::format("{}{:.1f} {:.1f}", up.empty() ? "M" : "L", x, y_.At(point.most));
      back = fmt::format("L{:.1f} {:.1f}", x, y_.At(point.least)) + back;
      has_band = has_band || point.count > 1;
    }
    if (line.empty()) return {};
    std::string svg;
    if (has_band) svg += fmt::format(R"(<path class="band s{}" d="{}{}Z"/>)", index, up, back);
    svg += fmt::format(R"(<path class="line s{}" d="{}"/>)", index, line);
    if (points.size() <= kMostDots) {
      for (const Drawn& point : points) {
        svg += fmt::format(R"(<circle class="s{}" cx="{:.1f}" cy="{:.1f}" r="2.2"/>)", index,
                           x_.At(point.x), y_.At(point.mean));
      }
    }
    return svg + "\n";
  }

  // Strips from top to bottom, one for each place where there is a point: the one under the pointer
  // shows its values.
  std::string Places() const {
    std::map<double, std::vector<std::size_t>> series_at;
    std::vector<std::map<double, const Drawn*>> at(drawn_.size());
    for (std::size_t i = 0; i < drawn_.size(); ++i) {
      for (const Drawn& point : drawn_[i]) {
        series_at[point.x].push_back(i);
        at[i][point.x] = &point;
      }
    }
    std::string svg;
    double left = kLeft;
    for (auto place = series_at.begin(); place != series_at.end(); ++place) {
      const double x = x_.At(place->first);
      const auto next = std::next(place);
      const double right = next == series_at.end() ? kRight : (x + x_.At(next->first)) / 2;
      std::string circles;
      std::string values;
      for (const std::size_t i : place->second) {
        const Drawn& point = *at[i].at(place->first);
        circles += fmt::format(R"(<circle class="s{}" cx="{:.1f}" cy="{:.1f}" r="3.5"/>)", i, x,
                               y_.At(point.mean));
        values += fmt::format("{}{} {}", values.empty() ? "" : ", ", chart_.series[i].name,
                              chart_.format_y(point.mean));
        if (point.count > 1) {
          values += fmt::format(" (mean of {}: {} to {})", point.count,
                                chart_.format_y(point.least), chart_.format_y(point.most));
        }
      }
      svg += fmt::format(
          "<g class=\"at\"><rect x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\"/>"
          "<path d=\"M{:.1f} {}V{}\"/>{}<title>{}: {}</title></g>\n",
          left, kTop, std::max(0.1, right - left), kBottom - kTop, x, kTop, kBottom, circles,
          EscapeHtml(chart_.describe_x(place->first)), EscapeHtml(values));
      left = right;
    }
    return svg;
  }

  const LineChart& chart_;
  std::vector<std::vector<Drawn>> drawn_;  // one for each series
  bool is_empty_ = true;
  Axis x_{0, 1, kLeft, kRight};
  Axis y_{0, 1, kBottom, kTop};
};

int DigitsFor(double step) {
  return std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 12);
}

}  // namespace

std::string LineChartHtml(const LineChart& chart) {
  const Picture picture(chart);
  std::string html =
      fmt::format("<figure class=\"plot\"><figcaption><b>{}</b>", EscapeHtml(chart.title));
  if (picture.is_empty()) {
    return html + "</figcaption><p class=\"dim\">nothing was told of it</p></figure>\n";
  }
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    if (!chart.has_legend) break;
    html += fmt::format(R"(<span class="s{}">{}</span>)", i, EscapeHtml(chart.series[i].name));
  }
  return html + "</figcaption>\n" + picture.Svg() + "</figure>\n";
}

std::vector<double> RoundTicks(double low, double high, int most) {
  MILLRACE_CHECK(low <= high && most >= 6);
  if (low == high) return {low};
  const double least_step = (high - low) / (most - 1);
  const double power = std::pow(10, std::floor(std::log10(least_step)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= least_step * (1 - 1e-9)) step = factor * power;
  }
  std::vector<double> ticks;
  const double slack = 1e-9 * step;
  for (double n = std::ceil((low - slack) / step); n * step <= high + slack; ++n) {
    ticks.push_back(n == 0 ? 0 : n * step);  // never "-0"
  }
  return ticks;
}

std::vector<std::string> TickLabels(const std::vector<double>& ticks) {
  if (ticks.empty()) return {};
  double largest = 0;
  for (const double tick : ticks) largest = std::max(largest, std::abs(tick));
  const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : std::max(largest, 1e-12);
  double unit = 1;
  std::string suffix;
  struct Unit {
    double size;
    double from;  // smaller numbers are short enough without it
    const char* suffix;
  };
  for (const Unit& one : {Unit{1e3, 1e4, "k"}, Unit{1e6, 1e6, "M"}, Unit{1e9, 1e9, "G"}}) {
    if (largest < one.from) continue;
    unit = one.size;
    suffix = one.suffix;
  }
  const bool is_tiny = largest > 0 && largest < 1e-3;
  std::vector<std::string> labels;
  for (const double tick : ticks) {
    if (tick == 0) {
      labels.emplace_back("0");
    } else if (is_tiny) {
      labels.push_back(fmt::format("{:.2g}", tick));
    } else {
      labels.push_back(fmt::format("{:.{}f}{}", tick / unit, DigitsFor(step / unit), suffix));
    }
  }
  return labels;
}

}  // namespace millrace::pipeline
