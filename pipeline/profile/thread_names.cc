#include "pipeline/profile/thread_names.h"

#include <fmt/format.h>

#include <map>

namespace millrace::pipeline {

std::vector<NamedThread> NameThreads(const std::vector<StageCall>& calls) {
  std::map<std::uint32_t, std::uint32_t> lane_threads;  // lane by thread
  std::map<std::uint32_t, bool> threads;
  for (const StageCall& call : calls) {
    const bool is_lane = call.stage == Stage::kCopy || call.stage == Stage::kTrainStep;
    threads.emplace(call.thread, is_lane);
    if (is_lane) lane_threads.emplace(call.thread, call.lane);
  }
  std::vector<NamedThread> named;
  for (const auto& [number, is_lane] : threads) {
    if (is_lane) continue;
    named.push_back({number, false, fmt::format("worker {}", named.size())});
  }
  std::map<std::uint32_t, std::uint32_t> by_lane;
  for (const auto& [number, lane] : lane_threads) by_lane.emplace(lane, number);
  for (const auto& [lane, number] : by_lane) {
    named.push_back({number, true, fmt::format("lane {}", lane)});
  }
  return named;
}

}  // namespace millrace::pipeline
