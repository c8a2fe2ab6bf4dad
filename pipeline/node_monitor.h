// Tells the run log what each node of a run uses, beside the training.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "model/store.h"
#include "pipeline/node_use.h"
#include "pipeline/peers.h"
#include "pipeline/placement.h"
#include "tracking/run_log.h"

namespace millrace::pipeline {

// One process of each node looks, on a thread of its own, and leaves what it has seen in the store;
// the first process of the run tells all of it. A node is told at most once for each step of the
// run, so that every point of its curves has a place of its own; a later point covers the time that
// an evaluation or a long step took.
class NodeMonitor {
 public:
  // Where the run stands.
  struct Moment {
    std::uint64_t step = 0;   // global steps done
    std::uint32_t epoch = 0;  // counted from 1
  };
  struct Options {
    Placement placement = {};
    std::vector<std::string> bus_ids = {};  // of this process's GPUs
    std::filesystem::path disk = {};        // as in NodeUse
    std::function<Moment()> now;            // any thread
    std::chrono::milliseconds period{10000};
    std::chrono::milliseconds glance{1000};  // at what the GPUs' driver tells of a moment
  };

  // All processes make theirs at the same place; `log` is the first's. Throws Error when another
  // process has failed.
  NodeMonitor(Peers& peers, Options options, tracking::RunLog& log);
  ~NodeMonitor();
  NodeMonitor(const NodeMonitor&) = delete;
  NodeMonitor& operator=(const NodeMonitor&) = delete;

  // Looks for the last time. Errors: those of the store and of the log.
  void Stop();
  // Tells, in the first process, what others saw last; once all have stopped.
  void TellRest();

 private:
  struct Sight;

  void Work(const std::stop_token& over);
  void Look();
  void Tell(std::size_t node, const Sight& sight);

  const Options options_;
  const bool first_;
  tracking::RunLog& log_;
  std::size_t node_ = 0;             // this process's, counted from 0
  std::size_t nodes_ = 1;            // of the run
  std::optional<model::Store> box_;  // where nodes leave each other words: there are several
  std::unique_ptr<NodeUse> use_;     // nullptr: another process of this node looks
  std::uint64_t seen_step_ = 0;      // of the last look
  std::vector<std::uint64_t> told_;  // the last step of each node
  std::jthread thread_;              // last: uses the others
};

}  // namespace millrace::pipeline
