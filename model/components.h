// Networks, losses, optimizers, schedules and metrics by the names that recipes give them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/params.h"
#include "base/table.h"

namespace millrace::model {

class Loss;
class Metric;
class Network;
class Optimizer;
class Schedule;
struct NamedTensor;

// Make a component from the section of the recipe that names it, and throw Error (exit code 2) for
// its settings.

// On the CPU, with initial weights that depend on `seed` alone. REQUIRES: classes >= 1
using NetworkMaker = std::unique_ptr<Network> (*)(const Params& section, std::int64_t classes,
                                                  std::uint64_t seed);
using LossMaker = std::unique_ptr<Loss> (*)(const Params& section);
using OptimizerMaker = std::unique_ptr<Optimizer> (*)(const Params& section,
                                                      std::span<const NamedTensor> parameters);
// `base_lr`: the optimizer's, scaled to the batch. REQUIRES: steps_per_epoch >= 1, total_steps >= 1
using ScheduleMaker = std::unique_ptr<Schedule> (*)(const Params& section, double base_lr,
                                                    std::int64_t steps_per_epoch,
                                                    std::int64_t total_steps);
// Of one entry of `metrics`. REQUIRES: classes >= 1
using MetricMaker = std::unique_ptr<Metric> (*)(const Params& section, std::int64_t classes);

struct Components {
  Table<NetworkMaker> networks;
  Table<LossMaker> losses;
  Table<OptimizerMaker> optimizers;
  Table<ScheduleMaker> schedules;
  Table<MetricMaker> metrics;
};

// Those of this program, without plugins'. Any thread.
const Components& BuiltInComponents();

}  // namespace millrace::model
