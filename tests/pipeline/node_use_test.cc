#include "pipeline/node_use.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/support/temporary_folder.h"

namespace millrace::pipeline {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

class NodeUseTest : public testing::Test {
 protected:
  NodeUseTest() {
    CreateFolders(root_ / "proc/net");
    CreateFolders(root_ / "sys/block/sda/device");
  }

  // What the kernel tells from now on.
  void Set(std::uint64_t busy, std::uint64_t idle, std::uint64_t disk_sectors,
           std::uint64_t network_bytes) {
    WriteFileAtomically(root_ / "proc/stat", fmt::format("cpu {} 0 0 {} 0 0 0 0\n", busy, idle));
    WriteFileAtomically(root_ / "proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 750000 kB\n");
    WriteFileAtomically(root_ / "proc/diskstats",
                        fmt::format("8 0 sda 1 0 {} 1 1 0 {} 1\n", disk_sectors, disk_sectors / 2));
    WriteFileAtomically(root_ / "proc/net/dev", fmt::format("eth0: {} 1 0 0 0 0 0 0 {} 1\n",
                                                            network_bytes, network_bytes / 4));
  }

  const test::TemporaryFolder root_;
};

TEST_F(NodeUseTest, CoresAreMeantSinceTheLastTimeAndTrafficSinceTheBeginning) {
  Set(1000, 1000, 4000, 8'000'000);
  NodeUse use({.bus_ids = {}, .disk = root_ / "nowhere", .root = root_.path()});
  Set(1030, 1010, 8000, 10'000'000);
  EXPECT_THAT(
      use.Take(),
      ElementsAre(Pair("cpu_utilization_percentage", 75),
                  Pair("system_memory_usage_megabytes", 256),
                  Pair("system_memory_usage_percentage", 25), Pair("disk_read_megabytes", 2.048),
                  Pair("disk_write_megabytes", 1.024), Pair("network_receive_megabytes", 2),
                  Pair("network_transmit_megabytes", 0.5)));
  // An interface that has gone took its count with it.
  Set(1040, 1040, 12000, 7'000'000);
  const auto values = use.Take();
  EXPECT_THAT(values.at(0), Pair("cpu_utilization_percentage", 25));
  EXPECT_THAT(values.at(3), Pair("disk_read_megabytes", 4.096));
  EXPECT_THAT(values.at(5), Pair("network_receive_megabytes", 0));
}

TEST_F(NodeUseTest, RoomIsThatOfTheDiskWhichHasTheFolder) {
  const auto values =
      NodeUse({.bus_ids = {}, .disk = root_.path(), .root = root_ / "nowhere"}).Take();
  ASSERT_EQ(values.size(), 3u);
  EXPECT_EQ(values[0].first, "disk_usage_megabytes");
  EXPECT_EQ(values[1].first, "disk_usage_percentage");
  EXPECT_EQ(values[2].first, "disk_available_megabytes");
  EXPECT_NEAR(values[1].second, 100 * values[0].second / (values[0].second + values[2].second),
              1e-9);
}

TEST_F(NodeUseTest, GpusAreNumberedAndTellTheirPowerWhereTheyKnowIt) {
  NodeUse use({.bus_ids = {"0000:65:00.0", "0000:66:00.0", "0000:67:00.0"},
               .disk = root_ / "nowhere",
               .root = root_ / "nowhere",
               .nvml = MILLRACE_FAKE_NVML});
  EXPECT_EQ(use.problem(), "");
  for (int i = 0; i < 3; ++i) use.Glance();
  // The second one has been lost.
  EXPECT_THAT(use.Take(), ElementsAre(Pair("gpu_0_utilization_percentage", testing::DoubleEq(93)),
                                      Pair("gpu_0_memory_usage_megabytes", 32212.254720),
                                      Pair("gpu_0_memory_usage_percentage", 37.5),
                                      Pair("gpu_0_power_usage_watts", 525),
                                      Pair("gpu_0_power_usage_percentage", 75),
                                      Pair("gpu_2_utilization_percentage", testing::DoubleEq(93)),
                                      Pair("gpu_2_memory_usage_megabytes", 32212.254720),
                                      Pair("gpu_2_memory_usage_percentage", 37.5)));
  EXPECT_THAT(use.Take(), IsEmpty()) << "nobody has looked since";
}

TEST_F(NodeUseTest, DriverThatIsNotThereIsToldAndLeavesTheRest) {
  Set(1, 1, 1, 1);
  NodeUse use({.bus_ids = {"0000:65:00.0"},
               .disk = root_ / "nowhere",
               .root = root_.path(),
               .nvml = "libno-such-nvml.so.1"});
  EXPECT_THAT(use.problem(), testing::HasSubstr("NVML cannot be loaded"));
  use.Glance();
  EXPECT_EQ(use.Take().size(), 7u);
}

}  // namespace
}  // namespace millrace::pipeline
