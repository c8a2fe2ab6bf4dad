#include "model/components.h"

#include "model/loss.h"
#include "model/metric.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/schedule.h"

namespace millrace::model {

const Components& BuiltInComponents() {
  static const Components kComponents{.networks = BuiltInNetworks(),
                                      .losses = BuiltInLosses(),
                                      .optimizers = BuiltInOptimizers(),
                                      .schedules = BuiltInSchedules(),
                                      .metrics = BuiltInMetrics()};
  return kComponents;
}

}  // namespace millrace::model
