#include "pipeline/worker_limit.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace millrace::pipeline {
namespace {

// Waits of less than one part in so many of a step are no reason for anything.
constexpr std::int64_t kNegligible = 100;
// Workers for each that is busy.
constexpr double kReserve = 2;
// So long is measured, and over so many steps.
constexpr std::int64_t kWindowNs = 1'000'000'000;
constexpr int kWindowSteps = 8;

}  // namespace

WorkerLimit::WorkerLimit(int workers, int least)
    : workers_(workers), least_(std::min(least, workers)), chosen_(workers), now_(workers) {
  MILLRACE_CHECK(workers > 0 && least > 0);
}

std::optional<WorkersAtWork> WorkerLimit::StepEnded(std::int64_t now_ns, std::int64_t stages_ns) {
  const std::lock_guard lock(mutex_);
  if (least_ == workers_) return {};
  if (window_ns_ == 0) {
    window_ns_ = now_ns;
    window_stages_ns_ = stages_ns;
    window_steps_ = 0;
    return {};
  }
  if (++window_steps_ < kWindowSteps || now_ns - window_ns_ < kWindowNs) return {};
  const double busy =
      static_cast<double>(stages_ns - window_stages_ns_) / static_cast<double>(now_ns - window_ns_);
  window_ns_ = 0;
  settling_ = false;
  const int wanted = std::clamp(static_cast<int>(std::ceil(kReserve * busy)), least_, workers_);
  // A quarter less is noise.
  if (wanted > chosen_ || 4 * wanted <= 3 * chosen_) {
    const WorkersAtWork change{.before = chosen_, .now = wanted, .busy = busy};
    chosen_ = wanted;
    now_ = chosen_;
    return change;
  }
  now_ = chosen_;
  return {};
}

std::optional<WorkersAtWork> WorkerLimit::LaneWaited(std::int64_t waited_ns, std::int64_t step_ns) {
  if (waited_ns <= step_ns / kNegligible) return {};
  const std::lock_guard lock(mutex_);
  window_ns_ = 0;
  if (settling_ || chosen_ == workers_) return {};
  const WorkersAtWork change{.before = chosen_, .now = workers_, .waited_ns = waited_ns};
  least_ = std::min(workers_, 2 * chosen_);
  chosen_ = workers_;
  settling_ = true;
  now_ = workers_;
  return change;
}

void WorkerLimit::LaneWaitedInEvaluation() {
  const std::lock_guard lock(mutex_);
  window_ns_ = 0;
  settling_ = true;
  now_ = workers_;
}

}  // namespace millrace::pipeline
