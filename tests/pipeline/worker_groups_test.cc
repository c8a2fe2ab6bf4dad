#include "pipeline/worker_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "base/process.h"

namespace millrace::pipeline {
namespace {

using testing::ElementsAre;

// Nodes 10, 11 and so on with so many cores.
std::vector<WorkerGroup> Nodes(const std::vector<int>& cores) {
  std::vector<WorkerGroup> nodes;
  nodes.reserve(cores.size());
  for (const int of_node : cores) {
    nodes.push_back({.workers = of_node, .numa_node = 10 + static_cast<int>(nodes.size())});
  }
  return nodes;
}

std::vector<int> Dealt(int workers, const std::vector<int>& cores) {
  std::vector<int> dealt;
  for (const WorkerGroup& group : DealWorkers(workers, Nodes(cores))) {
    EXPECT_EQ(group.numa_node, 10 + static_cast<int>(dealt.size()));
    dealt.push_back(group.workers);
  }
  return dealt;
}

TEST(DealWorkers, NodesGetWorkersInProportionToTheirCores) {
  EXPECT_THAT(Dealt(64, {32, 32}), ElementsAre(32, 32));
  EXPECT_THAT(Dealt(16, {32, 32}), ElementsAre(8, 8));
  EXPECT_THAT(Dealt(12, {8, 4}), ElementsAre(7, 5));
  EXPECT_THAT(Dealt(200, {16, 16, 16, 16}), ElementsAre(50, 50, 50, 50));
}

TEST(DealWorkers, EveryWorkerIsDealtAndNoNodeIsLeftOut) {
  for (int workers = 4; workers < 100; ++workers) {
    int sum = 0;
    for (const int of_node : Dealt(workers, {1, 30, 7, 2})) {
      EXPECT_GE(of_node, 1);
      sum += of_node;
    }
    EXPECT_EQ(sum, workers);
  }
}

TEST(DealWorkers, OneGroupRunsAnywhereWithoutTwoNodesOrWithFewerWorkersThanNodes) {
  for (const auto& nodes : {Nodes({}), Nodes({8}), Nodes({8, 8, 8, 8})}) {
    const auto groups = DealWorkers(3, nodes);
    ASSERT_EQ(groups.size(), 1u);
    EXPECT_EQ(groups[0].workers, 3);
    EXPECT_EQ(groups[0].numa_node, WorkerGroup::kAnywhere);
  }
}

TEST(NumaNodes, HaveTheCoresOfThisProcess) {
  int cores = 0;
  for (const WorkerGroup& node : NumaNodes()) {
    EXPECT_GT(node.workers, 0);
    cores += node.workers;
  }
  EXPECT_GE(cores, AvailableCores());  // which knows of control groups, too
}

}  // namespace
}  // namespace millrace::pipeline
