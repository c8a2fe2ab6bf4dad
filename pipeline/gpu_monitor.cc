#include "pipeline/gpu_monitor.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>

namespace millrace::pipeline {
namespace {

// Of nvml.h, which comes with the CUDA toolkit and not with its wheels. The library keeps these as
// they are: whatever changed got a name with another version.
constexpr int kSuccess = 0;
// Its structures of numbers of one type, as arrays.
using Utilization = std::array<unsigned int, 2>;   // of the GPU, of its memory [% of the time]
using Memory = std::array<unsigned long long, 3>;  // total, free, used [bytes]
using Device = void*;
using Init = int (*)();
using Shutdown = int (*)();
using ErrorString = const char* (*)(int);
using FindByBusId = int (*)(const char*, Device*);
using GetUtilization = int (*)(Device, unsigned int*);
using GetMemory = int (*)(Device, unsigned long long*);
using GetMilliwatts = int (*)(Device, unsigned int*);

}  // namespace

struct GpuMonitor::Library {
  template <typename Function>
  bool Find(const char* name, Function* function) {
    *function = reinterpret_cast<Function>(::dlsym(handle, name));
    if (*function == nullptr) problem = fmt::format("the driver's NVML has no {}", name);
    return *function != nullptr;
  }

  void Open(const std::vector<std::string>& bus_ids, const char* name) {
    handle = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      problem = fmt::format("the driver's NVML cannot be loaded: {}", ::dlerror());
      return;
    }
    Init init = nullptr;
    ErrorString error_string = nullptr;
    FindByBusId find = nullptr;
    if (!Find("nvmlInit_v2", &init) || !Find("nvmlShutdown", &shutdown) ||
        !Find("nvmlErrorString", &error_string) ||
        !Find("nvmlDeviceGetHandleByPciBusId_v2", &find) ||
        !Find("nvmlDeviceGetUtilizationRates", &utilization) ||
        !Find("nvmlDeviceGetMemoryInfo", &memory) || !Find("nvmlDeviceGetPowerUsage", &power) ||
        !Find("nvmlDeviceGetEnforcedPowerLimit", &power_limit)) {
      return;
    }
    if (const int result = init(); result != kSuccess) {
      problem = fmt::format("the driver's NVML does not start: {}", error_string(result));
      return;
    }
    started = true;
    for (std::size_t i = 0; i < bus_ids.size(); ++i) {
      const int result = find(bus_ids[i].c_str(), &devices[i]);
      if (result == kSuccess) continue;
      devices[i] = nullptr;
      problem = fmt::format("the driver's NVML does not know GPU {}: {}", bus_ids[i],
                            error_string(result));
    }
  }

  void* handle = nullptr;
  bool started = false;
  std::string problem;
  std::vector<Device> devices;  // nullptr: unknown
  Shutdown shutdown = nullptr;
  GetUtilization utilization = nullptr;
  GetMemory memory = nullptr;
  GetMilliwatts power = nullptr;
  GetMilliwatts power_limit = nullptr;
};

GpuMonitor::GpuMonitor(const std::vector<std::string>& bus_ids, const char* library)
    : library_(std::make_unique<Library>()) {
  library_->devices.resize(bus_ids.size());
  library_->Open(bus_ids, library);
}

GpuMonitor::~GpuMonitor() {
  if (library_->started) library_->shutdown();
  if (library_->handle != nullptr) ::dlclose(library_->handle);
}

const std::string& GpuMonitor::problem() const { return library_->problem; }

std::vector<std::optional<GpuUse>> GpuMonitor::Read() const {
  std::vector<std::optional<GpuUse>> uses;
  for (Device device : library_->devices) {
    std::optional<GpuUse>& use = uses.emplace_back();
    if (device == nullptr) continue;
    Utilization utilization{};
    Memory memory{};
    if (library_->utilization(device, utilization.data()) != kSuccess ||
        library_->memory(device, memory.data()) != kSuccess) {
      continue;
    }
    const auto watts = [device](GetMilliwatts get) -> std::optional<double> {
      unsigned int milliwatts = 0;
      if (get(device, &milliwatts) != kSuccess) return std::nullopt;
      return milliwatts / 1000.0;
    };
    use = GpuUse{.busy_share = utilization[0] / 100.0,
                 .memory_bytes = memory[2],
                 .memory_total = memory[0],
                 .power_w = watts(library_->power),
                 .power_limit_w = watts(library_->power_limit)};
  }
  return uses;
}

}  // namespace millrace::pipeline
