#include "pipeline/gpu_monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::pipeline {
namespace {

using ::testing::HasSubstr;

TEST(GpuMonitor, TellsWhatTheDriverSays) {
  const GpuMonitor monitor({"0000:65:00.0"}, MILLRACE_FAKE_NVML);
  EXPECT_EQ(monitor.problem(), "");
  const auto uses = monitor.Read();
  ASSERT_EQ(uses.size(), 1u);
  ASSERT_TRUE(uses[0]);
  EXPECT_DOUBLE_EQ(uses[0]->busy_share, 0.93);
  EXPECT_EQ(uses[0]->memory_bytes, std::uint64_t{30} << 30);
  EXPECT_EQ(uses[0]->memory_total, std::uint64_t{80} << 30);
  EXPECT_EQ(uses[0]->power_w, 525.0);
  EXPECT_EQ(uses[0]->power_limit_w, 700.0);
}

TEST(GpuMonitor, PowerIsLeftOutWhereAGpuDoesNotTellIt) {
  const auto uses = GpuMonitor({"0000:67:00.0"}, MILLRACE_FAKE_NVML).Read();
  ASSERT_TRUE(uses.at(0));
  EXPECT_EQ(uses[0]->memory_bytes, std::uint64_t{30} << 30);
  EXPECT_FALSE(uses[0]->power_w);
  EXPECT_FALSE(uses[0]->power_limit_w);
}

TEST(GpuMonitor, NothingIsToldOfGpusThatAreUnknownOrLost) {
  const GpuMonitor monitor({"0000:01:00.0", "0000:66:00.0", "0000:65:00.0"}, MILLRACE_FAKE_NVML);
  EXPECT_EQ(monitor.problem(), "the driver's NVML does not know GPU 0000:01:00.0: Not Found");
  const auto uses = monitor.Read();
  ASSERT_EQ(uses.size(), 3u);
  EXPECT_FALSE(uses[0]);
  EXPECT_FALSE(uses[1]);
  EXPECT_TRUE(uses[2]);
}

TEST(GpuMonitor, WithoutADriverNothingIsTold) {
  const GpuMonitor monitor({"0000:65:00.0"}, "libno-such-nvml.so.1");
  EXPECT_THAT(monitor.problem(), HasSubstr("the driver's NVML cannot be loaded: libno-such-nvml"));
  ASSERT_EQ(monitor.Read().size(), 1u);
  EXPECT_FALSE(monitor.Read()[0]);
}

TEST(GpuMonitor, LibraryOfSomethingElseIsNotTaken) {
  const GpuMonitor monitor({"0000:65:00.0"}, "libm.so.6");
  EXPECT_EQ(monitor.problem(), "the driver's NVML has no nvmlInit_v2");
  EXPECT_FALSE(monitor.Read()[0]);
}

}  // namespace
}  // namespace millrace::pipeline
