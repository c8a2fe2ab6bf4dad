#include "pipeline/worker_groups.h"

#include <oneapi/tbb/info.h>

#include <filesystem>
#include <system_error>

#include "base/check.h"
#include "base/process.h"

namespace millrace::pipeline {

std::vector<WorkerGroup> DealWorkers(int workers, const std::vector<WorkerGroup>& nodes) {
  MILLRACE_CHECK(workers > 0);
  const auto num_nodes = static_cast<int>(nodes.size());
  if (num_nodes < 2 || workers < num_nodes) return {{.workers = workers}};
  int cores = 0;
  for (const WorkerGroup& node : nodes) cores += node.workers;
  MILLRACE_CHECK(cores > 0);
  // One to each, and of the others as many as end within the node's part of all cores.
  const int others = workers - num_nodes;
  std::vector<WorkerGroup> groups;
  int cores_before = 0;
  for (const WorkerGroup& node : nodes) {
    const int begin = others * cores_before / cores;
    cores_before += node.workers;
    const int end = others * cores_before / cores;
    groups.push_back({.workers = 1 + end - begin, .numa_node = node.numa_node});
  }
  return groups;
}

namespace {

// Whether there may be two nodes to ask oneTBB about, which then loads libtbbbind.
bool MayHaveNodes() {
#ifdef __SANITIZE_ADDRESS__
  return false;  // AddressSanitizer ends a program that loads a library as oneTBB loads that one
#else
  std::error_code code;
  return std::filesystem::exists("/sys/devices/system/node/node1", code);
#endif
}

}  // namespace

std::vector<WorkerGroup> NumaNodes() {
  if (!MayHaveNodes()) return {{.workers = AvailableCores()}};
  std::vector<WorkerGroup> nodes;
  for (const oneapi::tbb::numa_node_id node : oneapi::tbb::info::numa_nodes()) {
    nodes.push_back({.workers = oneapi::tbb::info::default_concurrency(node), .numa_node = node});
  }
  return nodes;
}

}  // namespace millrace::pipeline
