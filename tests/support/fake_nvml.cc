// A driver's management library with three GPUs: one that tells everything, one that has been lost,
// and one that does not tell its power.
#include <cstring>

extern "C" {

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
const char* nvmlErrorString(int code) { return code == 6 ? "Not Found" : "GPU is lost"; }

int nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, void** device) {
  static int gpus[3];
  if (std::strcmp(bus_id, "0000:65:00.0") == 0) {
    *device = &gpus[0];
  } else if (std::strcmp(bus_id, "0000:66:00.0") == 0) {
    *device = &gpus[1];
  } else if (std::strcmp(bus_id, "0000:67:00.0") == 0) {
    *device = &gpus[2];
  } else {
    return 6;
  }
  gpus[1] = 15;
  gpus[2] = 3;
  return 0;
}

int nvmlDeviceGetUtilizationRates(void* device, unsigned int* gpu_and_memory) {
  gpu_and_memory[0] = 93;
  gpu_and_memory[1] = 41;
  return *static_cast<int*>(device) == 15 ? 15 : 0;
}

int nvmlDeviceGetMemoryInfo(void* device, unsigned long long* total_free_used) {
  total_free_used[0] = 80ULL << 30;
  total_free_used[1] = 50ULL << 30;
  total_free_used[2] = 30ULL << 30;
  return *static_cast<int*>(device) == 15 ? 15 : 0;
}

int nvmlDeviceGetPowerUsage(void* device, unsigned int* milliwatts) {
  *milliwatts = 525'000;
  return *static_cast<int*>(device);
}

int nvmlDeviceGetEnforcedPowerLimit(void* device, unsigned int* milliwatts) {
  *milliwatts = 700'000;
  return *static_cast<int*>(device);
}
}
