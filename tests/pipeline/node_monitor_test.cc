#include "pipeline/node_monitor.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/process.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace::pipeline {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

// What the run log's sinks were told, kept for longer than they are.
struct Told {
  std::vector<tracking::Scalars> scalars;
  std::vector<std::string> lines;

  std::vector<std::string> Names() const {
    std::set<std::string> names;
    for (const auto& event : scalars) {
      for (const auto& value : event.values) names.insert(value.first);
    }
    return {names.begin(), names.end()};
  }
  std::vector<std::uint64_t> Steps() const {
    std::vector<std::uint64_t> steps;
    for (const auto& event : scalars) steps.push_back(event.step);
    return steps;
  }
};

class Listener final : public tracking::Sink {
 public:
  explicit Listener(Told& told) : told_(told) {}
  void OnScalars(const tracking::Scalars& scalars) override { told_.scalars.push_back(scalars); }
  void OnText(const std::string& line) override { told_.lines.push_back(line); }

 private:
  Told& told_;
};

class NodeMonitorTest : public testing::Test {
 protected:
  // A run of so many processes on each node, played by threads; what its first process told.
  Told Run(std::uint32_t nodes, std::uint32_t processes_of_node) {
    const std::uint32_t count = nodes * processes_of_node;
    Told told;
    tracking::RunLog log;
    log.Add(std::make_unique<Listener>(told));
    std::vector<std::string> errors(count);
    {
      std::vector<std::jthread> threads;
      for (std::uint32_t process = 0; process < count; ++process) {
        threads.emplace_back([&, process] {
          Placement placement;
          placement.process = process;
          placement.num_processes = count;
          placement.local_process = process % processes_of_node;
          placement.num_local_processes = processes_of_node;
          placement.run_id = "test";
          if (count > 1) placement.store_file = folder_ / "store";
          errors[process] = test::ErrorOf([&] { RunProcess(placement, log); });
        });
      }
    }
    EXPECT_THAT(errors, testing::Each(""));
    log.Flush();
    return told;
  }

  void RunProcess(const Placement& placement, tracking::RunLog& log) {
    tracking::RunLog nobodys;
    Peers peers(placement, /*lanes=*/1, /*interrupt=*/nullptr);
    peers.Together([&] {
      std::atomic<std::uint64_t> step{0};
      NodeMonitor monitor(
          peers,
          {.placement = placement,
           .disk = folder_.path(),
           .now = [&step] { return NodeMonitor::Moment{.step = step, .epoch = 2}; }},
          peers.first() ? log : nobodys);
      step = 7 + placement.process;
      monitor.Stop();
      peers.Meet("ended");
      monitor.TellRest();
    });
  }

  const test::TemporaryFolder folder_;
};

TEST_F(NodeMonitorTest, OneProcessTellsItsMachineAsATimingOfTheLastStep) {
  const Told told = Run(/*nodes=*/1, /*processes_of_node=*/1);
  ASSERT_EQ(told.scalars.size(), 1u);
  EXPECT_EQ(told.scalars[0].kind, tracking::Scalars::Kind::kTiming);
  EXPECT_EQ(told.scalars[0].group, "system");
  EXPECT_EQ(told.scalars[0].step, 7u);
  EXPECT_EQ(told.scalars[0].epoch, 2u);
  for (const char* name : {"cpu_utilization_percentage", "system_memory_usage_megabytes",
                           "disk_available_megabytes"}) {
    EXPECT_THAT(told.Names(), Contains(name));
  }
  EXPECT_THAT(told.lines, IsEmpty());
}

TEST_F(NodeMonitorTest, TwoProcessesOfOneNodeTellItOnce) {
  const Told told = Run(/*nodes=*/1, /*processes_of_node=*/2);
  EXPECT_THAT(told.Steps(), ElementsAre(7));
  EXPECT_THAT(told.Names(), Contains("cpu_utilization_percentage"));
  EXPECT_THAT(told.lines, IsEmpty());
}

TEST_F(NodeMonitorTest, TwoNodesAreToldByTheFirstProcessUnderNamesOfTheirOwn) {
  const Told told = Run(/*nodes=*/2, /*processes_of_node=*/2);
  EXPECT_THAT(told.Steps(), ElementsAre(7, 9)) << "each by the first process of the node";
  EXPECT_THAT(told.lines,
              ElementsAre(fmt::format("node_0 is {}, node_1 is {}", HostName(), HostName())));
  EXPECT_EQ(told.scalars[0].values.size(), told.scalars[1].values.size());
  for (std::size_t node = 0; node < 2; ++node) {
    for (const auto& value : told.scalars[node].values) {
      EXPECT_THAT(value.first, testing::StartsWith(fmt::format("node_{}/", node)));
    }
  }
}

TEST_F(NodeMonitorTest, NodeIsToldMeanwhileAndAtMostOnceForEachStep) {
  Told told;
  tracking::RunLog log;
  log.Add(std::make_unique<Listener>(told));
  Peers peers(Placement{}, /*lanes=*/1, /*interrupt=*/nullptr);
  std::atomic<std::uint64_t> step{3};  // a resumed run's
  std::atomic<int> looks{0};
  NodeMonitor monitor(peers,
                      {.disk = folder_.path(),
                       .now =
                           [&] {
                             ++looks;
                             return NodeMonitor::Moment{.step = step, .epoch = 1};
                           },
                       .period = std::chrono::milliseconds(2),
                       .glance = std::chrono::milliseconds(1)},
                      log);
  const auto look_twice = [&looks] {
    for (const int until = looks + 2; looks < until;) std::this_thread::yield();
  };
  look_twice();
  step = 5;
  look_twice();
  look_twice();
  step = 6;
  monitor.Stop();
  monitor.TellRest();
  log.Flush();
  EXPECT_THAT(told.Steps(), ElementsAre(5, 6));
}

}  // namespace
}  // namespace millrace::pipeline
