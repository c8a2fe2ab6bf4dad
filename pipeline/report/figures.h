// What a run's lines come to: the numbers of its report.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/line_chart.h"
#include "pipeline/run_record.h"

namespace millrace::pipeline {

struct Interval {
  double low = 0;
  double high = 1;
};

// In which the true share lies with 95 % confidence, where `right` of `samples` were right: E. B.
// Wilson, "Probable inference, the law of succession, and statistical inference" (1927). Of no
// samples it says nothing: 0 to 1.
Interval WilsonInterval(double right, double samples);

// NaN of nothing. What is not finite does not count.
double Median(std::vector<double> values);

// An evaluation as metrics.jsonl has it.
struct Validation {
  std::uint64_t step = 0;
  std::uint64_t epoch = 0;
  double top1 = 0;  // shares
  double top5 = 0;
  double loss = 0;
  double samples = 0;

  Interval Top1Interval() const { return WilsonInterval(top1 * samples, samples); }
  Interval Top5Interval() const { return WilsonInterval(top5 * samples, samples); }
};

// Those of the validation split, in the order of their steps.
std::vector<Validation> Validations(const RunRecord& run);
// The one with the highest top-1, the earliest of equals; nothing of nothing.
std::optional<Validation> Best(const std::vector<Validation>& validations);

// A value of a group's lines over steps. Lines that a run which went back told again replace those
// of the same and later steps.
std::vector<ChartPoint> Curve(const std::vector<RunLine>& lines, const std::string& group,
                              const std::string& value);

// How fast a run went, evaluations and start-up left out.
struct Pace {
  double images_per_s = 0;     // median of the lines
  double data_wait_share = 0;  // of the time, mean over devices
};
// Nothing where no line tells it.
std::optional<Pace> PaceOf(const std::vector<RunLine>& timings);

// The epoch, counted from 1, of a step that has lines; that of the next step with lines otherwise.
class EpochsOfSteps {
 public:
  explicit EpochsOfSteps(const RunRecord& run);
  std::uint64_t At(std::uint64_t step) const;  // 0: unknown

 private:
  std::vector<std::pair<std::uint64_t, std::uint64_t>> epochs_;  // step, epoch; ascending
};

}  // namespace millrace::pipeline
