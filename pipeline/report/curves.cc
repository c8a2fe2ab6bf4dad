#include "pipeline/report/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "base/format.h"
#include "pipeline/line_chart.h"
#include "pipeline/report/figures.h"

namespace millrace::pipeline {
namespace {

std::string FourDigits(double value) { return fmt::format("{:.4g}", value); }
std::string Percents(double value) { return fmt::format("{:.2f} %", value); }
std::string ImagesPerSecond(double value) {
  return FormatCount(static_cast<std::uint64_t>(std::llround(std::max(0.0, value))));
}
std::string Mebibytes(double value) {
  return FormatBytes(static_cast<std::uint64_t>(std::max(0.0, value) * (1 << 20)));
}

std::vector<ChartPoint> Times(double factor, std::vector<ChartPoint> points) {
  for (ChartPoint& point : points) point.y *= factor;
  return points;
}

// What validations tell beside what each does.
std::set<std::string> MetricsOf(const std::vector<RunLine>& lines) {
  static const std::set<std::string> kOfAll = {"group", "step",  "epoch", "top1",
                                               "top5",  "error", "loss",  "samples"};
  std::set<std::string> metrics;
  for (const RunLine& line : lines) {
    if (line.group != "val") continue;
    for (const auto& [name, value] : line.values) {
      if (!kOfAll.contains(name)) metrics.insert(name);
    }
  }
  return metrics;
}

}  // namespace

std::string ReportCurves(const RunReport& report) {
  const EpochsOfSteps epochs(report.run);
  const auto describe = [&epochs](double x) {
    const auto step = static_cast<std::uint64_t>(x);
    return fmt::format("step {}, epoch {}", FormatCount(step), epochs.At(step));
  };
  const auto told = [&report](const char* group, const std::string& value) {
    return Curve(report.run.lines, group, value);
  };
  const auto timed = [&report](const char* value) { return Curve(report.timings, "train", value); };
  // All charts are over the same steps.
  std::uint64_t first = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t last = 0;
  for (const auto* lines : {&report.run.lines, &report.timings}) {
    for (const RunLine& line : *lines) {
      first = std::min(first, line.step);
      last = std::max(last, line.step);
    }
  }
  std::string html = "<div class=\"charts curves\">\n";
  const auto add = [&](std::string title, std::vector<ChartSeries> series,
                       std::string (*format)(double), std::optional<double> bottom,
                       std::optional<double> top) {
    const bool has_legend = series.size() > 1;  // otherwise the title says it
    std::erase_if(series, [](const ChartSeries& one) { return one.points.empty(); });
    html += LineChartHtml({.title = std::move(title),
                           .x_name = "step",
                           .series = std::move(series),
                           .has_legend = has_legend,
                           .format_y = format,
                           .describe_x = describe,
                           .left = static_cast<double>(first),
                           .right = static_cast<double>(last),
                           .bottom = bottom,
                           .top = top});
  };
  add("Loss",
      {{"training", told("train", "loss")},
       {"validation", told("val", "loss")},
       {"training split", told("train_eval", "loss")}},
      FourDigits, {}, {});
  add("Accuracy [%]",
      {{"validation top-1", Times(100, told("val", "top1"))},
       {"validation top-5", Times(100, told("val", "top5"))},
       {"training top-1", Times(100, told("train_eval", "top1"))},
       {"training top-5", Times(100, told("train_eval", "top5"))}},
      Percents, {}, {});
  for (const std::string& metric : MetricsOf(report.run.lines)) {
    add(metric,
        {{"validation", told("val", metric)}, {"training split", told("train_eval", metric)}},
        FourDigits, {}, {});
  }
  add("Learning rate", {{"learning rate", told("train", "lr")}}, FourDigits, 0, {});
  add("Throughput [images/s]", {{"images/s", timed("images_per_s")}}, ImagesPerSecond, 0, {});
  add("Devices waiting for data [%]", {{"waited", Times(100, timed("data_wait_share"))}}, Percents,
      0, {});
  add("Memory [MiB]", {{"memory", timed("resident_mib")}}, Mebibytes, 0, {});
  return html + "</div>\n";
}

}  // namespace millrace::pipeline
