// GPUs: which there are, and what lanes on them need.
//
// cuda_gpus.cc implements it in programs that are built with CUDA, no_gpus.cc in all others.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/lane_device.h"
#include "stages/normalize.h"
#include "stages/sample.h"
#include "stages/slot.h"

namespace millrace::pipeline {

struct Gpus {
  // By number, as CUDA shows them to this process.
  std::vector<std::string> names;    // "NVIDIA H100"
  std::vector<std::string> bus_ids;  // where each is: "0000:65:00.0"; "" unknown
  std::string problem;               // why there are none
  std::string remedy;                // what to do about it, besides using the CPU; "" for nothing
};
Gpus FindGpus();

struct CudaDeviceOptions {
  int gpu = 0;  // its number
  stages::ChannelStatistics statistics;
  stages::ImageFormat format = {};
  bool record_steps = true;    // as CUDA graphs, where they prove to do what the step does
  bool deterministic = false;  // they must do so bit by bit
  std::function<void(const std::string&)> tell;  // lines for people; on the lane's thread
  stages::DecodeOnHost decode_on_host = {};      // for slots with cargo
};
// REQUIRES: FindGpus() names that GPU
std::unique_ptr<LaneDevice> MakeCudaDevice(CudaDeviceOptions options);

// Memory that these GPUs copy from while they compute. To be freed by any thread. Throws Error when
// there is not enough. REQUIRES: as above
stages::PixelAllocator PinnedPixels(std::vector<int> gpus);

}  // namespace millrace::pipeline
