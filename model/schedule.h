// The learning rate as a function of the global step.
#pragma once

#include <cstdint>
#include <memory>

#include "base/params.h"
#include "model/components.h"

namespace millrace::model {

// Pure: the rate depends on the step alone, so that a resumed run needs no state. Any thread.
class Schedule {
 public:
  virtual ~Schedule() = default;

  // The rate of update `step`, counted from 0 over the whole run. Steps past the planned end have
  // the last step's rate.
  virtual double LearningRateAt(std::int64_t step) const = 0;

  // How many steps `warmup_epochs` are.
  virtual std::int64_t warmup_steps() const { return 0; }
};

// What the [schedule] section asks for; constant when it is empty. `base_lr` is the optimizer's lr
// (one_cycle: the peak). Keys by `name`, with the PyTorch scheduler that gives the same rates:
//
//   constant    none
//   multi_step  `milestones` [epochs, may be fractional, ascending], `gamma` (0.1): MultiStepLR
//   cosine      `min_lr` (0): CosineAnnealingLR over the steps after the warm-up
//   polynomial  `power` (1): PolynomialLR, down to 0, over the steps after the warm-up
//   one_cycle   `pct_start` (0.3), `div_factor` (25), `final_div_factor` (1e4): OneCycleLR
//
// All but one_cycle, which warms up by itself, take `warmup_epochs` (0) and `warmup_factor` (0.01):
// LinearLR from warmup_factor * base_lr to base_lr. Milestones count from the start of the run.
// Throws Error (exit code 2) for wrong values and for a setting without effect.
// REQUIRES: steps_per_epoch >= 1, total_steps >= 1
std::unique_ptr<Schedule> MakeSchedule(const Params& section, double base_lr,
                                       std::int64_t steps_per_epoch, std::int64_t total_steps,
                                       const Components& known = BuiltInComponents());

Table<ScheduleMaker> BuiltInSchedules();

}  // namespace millrace::model
