#include "model/weight_average.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <limits>
#include <utility>
#include <vector>

#include "base/check.h"

namespace millrace::model {

std::optional<WeightAverageSettings> ReadWeightAverage(const Params& section) {
  WeightAverageSettings settings;
  settings.decay = section.NumberIn("ema_decay", 0, 1, 0.0);
  if (settings.decay == 0) {
    if (section.Has("ema_every_steps")) {
      section.Blame("ema_every_steps", "has no effect without ema_decay");
    }
    return std::nullopt;
  }
  if (settings.decay == 1) section.Blame("ema_decay", "is 1, with which the average never changes");
  settings.every_steps =
      section.IntegerIn("ema_every_steps", 1, std::numeric_limits<std::int32_t>::max(), 1);
  return settings;
}

WeightAverage::WeightAverage(const WeightAverageSettings& settings, std::int64_t steps_per_epoch,
                             std::int64_t warmup_steps, const Network& followed,
                             std::unique_ptr<Network> mean)
    : settings_(settings),
      steps_per_epoch_(steps_per_epoch),
      warmup_steps_(warmup_steps),
      followed_(followed),
      mean_(std::move(mean)) {
  MILLRACE_CHECK(steps_per_epoch >= 1 && settings.every_steps >= 1);
  Restart();
}

void WeightAverage::Restart() { CopyState(mean_->state(), followed_.state()); }

bool WeightAverage::WarmsUp(std::int64_t epoch) const {
  return epoch * steps_per_epoch_ < warmup_steps_;
}

void WeightAverage::Follow(std::int64_t step) {
  const std::int64_t epoch = step / steps_per_epoch_;
  const std::int64_t in_epoch = step % steps_per_epoch_;
  if (in_epoch % settings_.every_steps != 0) return;
  // A mean begins with a copy, and so does the update that follows one of the warm-up.
  const bool first_of_epoch = in_epoch == 0;
  if (step == 0 || WarmsUp(first_of_epoch ? epoch - 1 : epoch)) {
    Restart();
  } else {
    Mix();
  }
}

void WeightAverage::Mix() {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> means;
  std::vector<at::Tensor> weights;
  for (std::size_t i = 0; i < mean_->state().size(); ++i) {
    const at::Tensor& mean = mean_->state()[i].tensor;
    const at::Tensor& weight = followed_.state()[i].tensor;
    if (mean.is_floating_point()) {
      means.push_back(mean);
      weights.push_back(weight);
    } else {
      mean.copy_(weight);
    }
  }
  at::_foreach_mul_(means, settings_.decay);
  at::_foreach_add_(means, weights, 1 - settings_.decay);
}

}  // namespace millrace::model
