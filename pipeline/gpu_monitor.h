// How busy GPUs are, how much of their memory is taken and what power they draw, as the driver's
// management library (NVML) tells it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace millrace::pipeline {

struct GpuUse {
  // Share of the driver's last sampling period (1/6 s to 1 s) in which a kernel ran, 0 to 1: of all
  // processes, and however little of the GPU it filled.
  double busy_share = 0;
  std::uint64_t memory_bytes = 0;  // taken, by all processes [bytes]
  std::uint64_t memory_total = 0;  // that there is [bytes]
  // Some GPUs do not tell these.
  std::optional<double> power_w;        // drawn [W]
  std::optional<double> power_limit_w;  // at most [W]
};

// Loads the library when it is made, because only machines with NVIDIA's driver have it. One thread
// at a time.
class GpuMonitor {
 public:
  // `bus_ids`: where the GPUs are, as CUDA tells ("0000:65:00.0"). `library`: another one in tests.
  explicit GpuMonitor(const std::vector<std::string>& bus_ids,
                      const char* library = "libnvidia-ml.so.1");
  ~GpuMonitor();
  GpuMonitor(const GpuMonitor&) = delete;
  GpuMonitor& operator=(const GpuMonitor&) = delete;

  // Why nothing is told of some GPU; "" when there is no reason.
  const std::string& problem() const;

  // For each GPU, in their order: nothing where the driver does not say. Takes some 10 us each and
  // does not wait for the GPU.
  std::vector<std::optional<GpuUse>> Read() const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace millrace::pipeline
