// Where the graph's workers run: a group for each NUMA node of the machine.
#pragma once

#include <vector>

namespace millrace::pipeline {

// Workers that make whole batches among themselves.
struct WorkerGroup {
  static constexpr int kAnywhere = -1;

  int workers = 1;            // threads
  int numa_node = kAnywhere;  // that they are kept on, as oneTBB numbers them
};

// Deals `workers` to nodes in proportion to the cores that each has for this process (its
// `workers`), at least one to each. One group that runs anywhere where there are no two nodes, or
// fewer workers than nodes. REQUIRES: workers > 0, every node has cores
std::vector<WorkerGroup> DealWorkers(int workers, const std::vector<WorkerGroup>& nodes);

// The nodes of this machine with the cores that each has for this process; a single one where
// oneTBB does not find out (it needs libtbbbind and hwloc).
std::vector<WorkerGroup> NumaNodes();

}  // namespace millrace::pipeline
