// A running mean of a network's weights along the training, which often classifies better than the
// last ones do.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/params.h"
#include "model/network.h"

namespace millrace::model {

struct WeightAverageSettings {
  double decay = 0;  // share of the mean that stays in each update
  std::int64_t every_steps =
      1;  // from one update to the next, counted from each epoch's first step
};

// What the [model] section asks for: keys `ema_decay` (0: no average) and `ema_every_steps` (1).
// Throws Error (exit code 2) for a wrong value and for a setting without effect.
std::optional<WeightAverageSettings> ReadWeightAverage(const Params& section);

// The ExponentialMovingAverage of torchvision's references/classification, updated as its train.py
// does: mean = decay * mean + (1 - decay) * weights, running statistics of normalisations included;
// a copy instead at first and throughout the epochs in which the learning rate warms up. Counts of
// batches are copied always. What happens after a step is a function of the step alone, so that
// the mean is all that a checkpoint must hold. Exact in the same order everywhere: ranks with equal
// weights have equal means. One thread at a time, the network's.
class WeightAverage {
 public:
  // `mean`: another network like `followed`, on the same device, from now on with its values.
  // `followed` must outlive this. `warmup_steps`: of the schedule.
  WeightAverage(const WeightAverageSettings& settings, std::int64_t steps_per_epoch,
                std::int64_t warmup_steps, const Network& followed, std::unique_ptr<Network> mean);

  // Does what is due after the update of `step`, counted from 0 over the whole run.
  void Follow(std::int64_t step);
  // Begins anew with the weights as they are.
  void Restart();

  // With the mean as weights.
  Network& network() { return *mean_; }
  const Network& network() const { return *mean_; }

 private:
  // Whether an epoch lies in the warm-up.
  bool WarmsUp(std::int64_t epoch) const;
  void Mix();

  const WeightAverageSettings settings_;
  const std::int64_t steps_per_epoch_;
  const std::int64_t warmup_steps_;
  const Network& followed_;
  std::unique_ptr<Network> mean_;
};

}  // namespace millrace::model
