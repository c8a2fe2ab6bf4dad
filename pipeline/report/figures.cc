#include "pipeline/report/figures.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace millrace::pipeline {

Interval WilsonInterval(double right, double samples) {
  if (!(samples > 0)) return {};
  constexpr double kZ = 1.959963984540054;  // of 95 %
  const double share = right / samples;
  const double square = kZ * kZ / samples;
  const double middle = (share + square / 2) / (1 + square);
  const double half = std::sqrt(share * (1 - share) * square + square * square / 4) / (1 + square);
  return {.low = std::max(0.0, middle - half), .high = std::min(1.0, middle + half)};
}

double Median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return !std::isfinite(value); });
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::vector<Validation> Validations(const RunRecord& run) {
  std::vector<Validation> validations;
  for (const RunLine& line : run.lines) {
    if (line.group != "val" || !std::isfinite(line.Number("top1"))) continue;
    validations.push_back({.step = line.step,
                           .epoch = static_cast<std::uint64_t>(line.Number("epoch")),
                           .top1 = line.Number("top1"),
                           .top5 = line.Number("top5"),
                           .loss = line.Number("loss"),
                           .samples = line.Number("samples")});
  }
  return validations;
}

std::optional<Validation> Best(const std::vector<Validation>& validations) {
  const auto best =
      std::max_element(validations.begin(), validations.end(),
                       [](const Validation& a, const Validation& b) { return a.top1 < b.top1; });
  if (best == validations.end()) return {};
  return *best;
}

std::vector<ChartPoint> Curve(const std::vector<RunLine>& lines, const std::string& group,
                              const std::string& value) {
  std::vector<ChartPoint> points;
  for (const RunLine& line : lines) {
    if (line.group != group || !line.values.contains(value)) continue;
    const auto step = static_cast<double>(line.step);
    while (!points.empty() && points.back().x >= step) points.pop_back();
    points.push_back({.x = step, .y = line.Number(value)});
  }
  return points;
}

std::optional<Pace> PaceOf(const std::vector<RunLine>& timings) {
  std::vector<double> rates;
  double waited = 0;
  double time = 0;  // of an image, added up: lines tell of as many images each
  for (const RunLine& line : timings) {
    const double rate = line.Number("images_per_s");
    if (line.group != "train" || !std::isfinite(rate) || rate <= 0) continue;
    rates.push_back(rate);
    time += 1 / rate;
    waited += line.Number("data_wait_share") / rate;
  }
  if (rates.empty()) return {};
  return Pace{.images_per_s = Median(rates), .data_wait_share = waited / time};
}

EpochsOfSteps::EpochsOfSteps(const RunRecord& run) {
  for (const RunLine& line : run.lines) {
    const double epoch = line.Number("epoch");
    if (std::isfinite(epoch)) epochs_.emplace_back(line.step, static_cast<std::uint64_t>(epoch));
  }
  std::sort(epochs_.begin(), epochs_.end());
}

std::uint64_t EpochsOfSteps::At(std::uint64_t step) const {
  const auto at =
      std::lower_bound(epochs_.begin(), epochs_.end(), std::pair{step, std::uint64_t{0}});
  if (at != epochs_.end()) return at->second;
  return epochs_.empty() ? 0 : epochs_.back().second;
}

}  // namespace millrace::pipeline
