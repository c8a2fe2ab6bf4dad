#include "model/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>
#include <vector>

#include "base/check.h"

namespace millrace::model {
namespace {

constexpr double kMax = std::numeric_limits<double>::max();

// From `start` (share 0) to `end` (share 1) along half a cosine.
double CosineAnneal(double start, double end, double share) {
  return end + (start - end) / 2 * (1 + std::cos(std::numbers::pi * share));
}

class Constant final : public Schedule {
 public:
  explicit Constant(double lr) : lr_(lr) {}
  double LearningRateAt(std::int64_t) const override { return lr_; }

 private:
  double lr_;
};

class MultiStep final : public Schedule {
 public:
  MultiStep(double lr, double gamma, std::vector<std::int64_t> milestones)
      : lr_(lr), gamma_(gamma), milestones_(std::move(milestones)) {}

  double LearningRateAt(std::int64_t step) const override {
    const auto passed = std::upper_bound(milestones_.begin(), milestones_.end(), step);
    return lr_ * std::pow(gamma_, static_cast<double>(passed - milestones_.begin()));
  }

 private:
  double lr_;
  double gamma_;
  std::vector<std::int64_t> milestones_;  // [steps], ascending
};

class Cosine final : public Schedule {
 public:
  Cosine(double lr, double min_lr, std::int64_t first, std::int64_t total)
      : lr_(lr), min_lr_(min_lr), first_(first), total_(total) {}

  double LearningRateAt(std::int64_t step) const override {
    const auto done = std::min(step, total_ - 1) - first_;
    return CosineAnneal(lr_, min_lr_,
                        static_cast<double>(done) / static_cast<double>(total_ - first_));
  }

 private:
  double lr_;
  double min_lr_;
  std::int64_t first_;  // step at which the descent begins
  std::int64_t total_;  // [steps] of the run
};

class Polynomial final : public Schedule {
 public:
  Polynomial(double lr, double power, std::int64_t first, std::int64_t total)
      : lr_(lr), power_(power), first_(first), total_(total) {}

  double LearningRateAt(std::int64_t step) const override {
    const auto left = total_ - std::min(step, total_ - 1);
    return lr_ * std::pow(static_cast<double>(left) / static_cast<double>(total_ - first_), power_);
  }

 private:
  double lr_;
  double power_;
  std::int64_t first_;  // step at which the descent begins
  std::int64_t total_;  // [steps] of the run
};

// Smith and Topin, "Super-convergence" (arXiv:1708.07120), with the two cosine phases and the phase
// ends of torch.optim.lr_scheduler.OneCycleLR.
class OneCycle final : public Schedule {
 public:
  OneCycle(double peak, double pct_start, double div_factor, double final_div_factor,
           std::int64_t total)
      : peak_(peak),
        first_lr_(peak / div_factor),
        last_lr_(first_lr_ / final_div_factor),
        top_(pct_start * static_cast<double>(total) - 1),
        last_(static_cast<double>(total - 1)) {}

  double LearningRateAt(std::int64_t step) const override {
    const double at = std::min(static_cast<double>(step), last_);
    // A run so short that the rise has no step in it starts at the top.
    if (at <= top_) return top_ > 0 ? CosineAnneal(first_lr_, peak_, at / top_) : peak_;
    return CosineAnneal(peak_, last_lr_, (at - top_) / (last_ - top_));
  }

 private:
  double peak_;
  double first_lr_;
  double last_lr_;
  double top_;   // the step, not always whole, at which the rate is highest
  double last_;  // the last step
};

class Warmup final : public Schedule {
 public:
  Warmup(std::unique_ptr<Schedule> main, double factor, std::int64_t steps)
      : main_(std::move(main)), factor_(factor), steps_(steps) {}

  double LearningRateAt(std::int64_t step) const override {
    if (step >= steps_) return main_->LearningRateAt(step);
    const double share = static_cast<double>(step) / static_cast<double>(steps_);
    return (factor_ + (1 - factor_) * share) * main_->LearningRateAt(steps_);
  }

  std::int64_t warmup_steps() const override { return steps_; }

 private:
  std::unique_ptr<Schedule> main_;
  double factor_;
  std::int64_t steps_;
};

std::int64_t ToSteps(double epochs, std::int64_t steps_per_epoch) {
  return std::llround(epochs * static_cast<double>(steps_per_epoch));
}

// [steps], 0 without a warm-up.
std::int64_t WarmupSteps(const Params& section, std::int64_t steps_per_epoch,
                         std::int64_t total_steps) {
  const double epochs = section.NumberIn("warmup_epochs", 0, 1e9, 0.0);
  const std::int64_t steps = ToSteps(epochs, steps_per_epoch);
  if (steps >= total_steps) {
    section.Blame("warmup_epochs",
                  fmt::format("is {} steps, but the whole run has {}", steps, total_steps));
  }
  return steps;
}

// What comes behind a warm-up, or from the start.
struct MainPart {
  double base_lr = 0;
  std::int64_t steps_per_epoch = 0;
  std::int64_t first_step = 0;
  std::int64_t total_steps = 0;  // of the run
};

std::unique_ptr<Schedule> MakeConstant(const Params&, const MainPart& part) {
  return std::make_unique<Constant>(part.base_lr);
}

std::unique_ptr<Schedule> MakeCosine(const Params& section, const MainPart& part) {
  return std::make_unique<Cosine>(part.base_lr, section.NumberIn("min_lr", 0, part.base_lr, 0.0),
                                  part.first_step, part.total_steps);
}

std::unique_ptr<Schedule> MakePolynomial(const Params& section, const MainPart& part) {
  return std::make_unique<Polynomial>(part.base_lr, section.NumberIn("power", 0, 100, 1.0),
                                      part.first_step, part.total_steps);
}

std::unique_ptr<Schedule> MakeMultiStep(const Params& section, const MainPart& part) {
  const std::vector<double> epochs = section.Numbers("milestones");
  std::vector<std::int64_t> steps;
  for (const double epoch : epochs) {
    if (!(epoch > 0 && epoch < 1e9)) section.Blame("milestones", "must be epochs > 0");
    steps.push_back(ToSteps(epoch, part.steps_per_epoch));
    if (steps.size() > 1 && steps.back() <= steps[steps.size() - 2]) {
      section.Blame("milestones", "must ascend by at least one step");
    }
    if (steps.back() <= part.first_step) {
      section.Blame("milestones", fmt::format("holds {}, which is within the warm-up", epoch));
    }
  }
  return std::make_unique<MultiStep>(part.base_lr, section.NumberIn("gamma", 0, 1, 0.1),
                                     std::move(steps));
}

// A schedule with a warm-up before what kMake makes, if the section has one.
template <auto kMake>
std::unique_ptr<Schedule> MakeWithWarmup(const Params& section, double base_lr,
                                         std::int64_t steps_per_epoch, std::int64_t total_steps) {
  const std::int64_t warmup_steps = WarmupSteps(section, steps_per_epoch, total_steps);
  std::unique_ptr<Schedule> main = kMake(section, MainPart{.base_lr = base_lr,
                                                           .steps_per_epoch = steps_per_epoch,
                                                           .first_step = warmup_steps,
                                                           .total_steps = total_steps});
  if (warmup_steps == 0) {
    if (section.Has("warmup_factor")) {
      section.Blame("warmup_factor", "has no effect without warmup_epochs");
    }
    return main;
  }
  return std::make_unique<Warmup>(std::move(main), section.NumberIn("warmup_factor", 0, 1, 0.01),
                                  warmup_steps);
}

std::unique_ptr<Schedule> MakeOneCycle(const Params& section, double base_lr,
                                       std::int64_t /*steps_per_epoch*/, std::int64_t total_steps) {
  for (const char* key : {"warmup_epochs", "warmup_factor"}) {
    if (section.Has(key)) {
      section.Blame(key, "has no effect on one_cycle, which warms up by itself (pct_start)");
    }
  }
  return std::make_unique<OneCycle>(base_lr, section.NumberIn("pct_start", 0, 1, 0.3),
                                    section.NumberIn("div_factor", 1, kMax, 25.0),
                                    section.NumberIn("final_div_factor", 1, kMax, 1e4),
                                    total_steps);
}

}  // namespace

Table<ScheduleMaker> BuiltInSchedules() {
  return {{"constant", &MakeWithWarmup<&MakeConstant>},
          {"multi_step", &MakeWithWarmup<&MakeMultiStep>},
          {"cosine", &MakeWithWarmup<&MakeCosine>},
          {"polynomial", &MakeWithWarmup<&MakePolynomial>},
          {"one_cycle", &MakeOneCycle}};
}

std::unique_ptr<Schedule> MakeSchedule(const Params& section, double base_lr,
                                       std::int64_t steps_per_epoch, std::int64_t total_steps,
                                       const Components& known) {
  MILLRACE_CHECK(steps_per_epoch >= 1 && total_steps >= 1);
  return known.schedules.Choose(section, "name", "constant")(section, base_lr, steps_per_epoch,
                                                             total_steps);
}

}  // namespace millrace::model
