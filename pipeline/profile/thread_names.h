// Names of the threads of a graph run, from what they did.
#pragma once

#include <string>
#include <vector>

#include "pipeline/stage_trace.h"

namespace millrace::pipeline {

struct NamedThread {
  std::uint32_t number = 0;  // StageCall::thread
  bool is_lane = false;
  std::string name;  // "worker 0", "lane 1"
};

// Those that have a call, workers first.
std::vector<NamedThread> NameThreads(const std::vector<StageCall>& calls);

}  // namespace millrace::pipeline
