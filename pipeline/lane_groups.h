// The lanes of one process, connected with each other and with those of other processes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "model/network.h"
#include "model/store.h"
#include "pipeline/lane_group.h"
#include "pipeline/stop.h"

namespace millrace::pipeline {

// All ranks of a run, and which of them are this process's.
struct World {
  model::Store store;  // of all processes
  std::uint32_t first_rank = 0;
  std::uint32_t world_size = 1;
  std::string address = "127.0.0.1";  // ProcessGroupOptions
  std::chrono::milliseconds timeout = std::chrono::minutes(10);
};

class LaneGroups {
 public:
  struct Replica {
    const model::Network* network = nullptr;  // outlives the groups
    c10::Device device = c10::kCPU;
  };

  // Returns when all ranks are connected. Throws the Error of the first lane that is not. `trains`:
  // gradients will be averaged. Once `stop`, which outlives the groups, has ended the work, lanes
  // that are at no batch leave the others, so that none waits for a batch that will never come.
  LaneGroups(const World& world, const std::vector<Replica>& replicas, bool trains,
             const Stop& stop);
  ~LaneGroups();
  LaneGroups(const LaneGroups&) = delete;
  LaneGroups& operator=(const LaneGroups&) = delete;

  LaneGroup& of(std::size_t lane) { return *groups_[lane]; }
  const LaneGroup& of(std::size_t lane) const { return *groups_[lane]; }
  std::size_t size() const { return groups_.size(); }

 private:
  void CloseWhenStopped(const std::stop_token& over, const Stop& stop);

  std::vector<std::unique_ptr<LaneGroup>> groups_;
  std::jthread closer_;  // last: uses the others
};

}  // namespace millrace::pipeline
