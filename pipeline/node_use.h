// What a node uses, in numbers under the names of tracking/tags.h: cores, memory, disks, network
// and GPUs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/machine_use.h"
#include "pipeline/gpu_monitor.h"

namespace millrace::pipeline {

// One thread at a time. Megabytes are 10^6 bytes, as at MLflow.
class NodeUse {
 public:
  struct Sources {
    std::vector<std::string> bus_ids;        // of the GPUs, as GpuMonitor wants them
    std::filesystem::path disk;              // any folder on the one whose room is of interest
    std::filesystem::path root = "/";        // with proc/ and sys/
    const char* nvml = "libnvidia-ml.so.1";  // the driver's library
  };
  explicit NodeUse(Sources sources);

  // Why nothing is told of some GPU; "" when there is no reason.
  std::string problem() const { return gpus_ ? gpus_->problem() : ""; }

  // Looks at what the driver tells of a moment only: the more often between two calls of Take(),
  // the truer its means.
  void Glance();

  // Of cores, and of GPUs and their power, the means over the time since the last call; what went
  // through disks and network since this was made; of memory and disk what is taken now. What the
  // system does not tell is left out.
  std::vector<std::pair<std::string, double>> Take();

 private:
  struct GpuSums {
    std::uint64_t glances = 0;
    double busy_share = 0;
    double power_w = 0;
    GpuUse last;
  };

  const Sources sources_;
  std::optional<GpuMonitor> gpus_;  // where there are any
  const MachineUse begin_;
  MachineUse before_;  // as of the last call
  std::vector<GpuSums> sums_;
};

}  // namespace millrace::pipeline
