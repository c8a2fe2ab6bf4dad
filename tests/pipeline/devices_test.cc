#include "pipeline/devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "pipeline/gpus.h"
#include "tests/support/error_text.h"

namespace millrace::pipeline {
namespace {

using test::UsageErrorOf;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Devices, CpuLanesAreCounted) {
  EXPECT_EQ(Devices::Parse("cpu").lanes(), 1u);
  EXPECT_EQ(Devices::Parse("cpu:1").lanes(), 1u);
  EXPECT_EQ(Devices::Parse("cpu:64").lanes(), 64u);
  EXPECT_EQ(Devices::Parse("cpu:2").Text(), "cpu:2");
  EXPECT_EQ(DeviceName(Devices::Parse("cpu:2")), "cpu");
}

TEST(Devices, AnythingElseIsAnErrorThatSaysWhatToWrite) {
  for (const char* text :
       {"",          "cpu:",    "cpu:0",       "cpu:65",          "cpu:-1",   "cpu:+1",
        "cpu:two",   "cpu:2 ",  "cpu:1,cpu:2", "cpu:99999999999", "CPU",      "gpu",
        " cpu",      "cudaa",   "cuda:",       "cuda:a",          "cuda:0,",  "cuda:,0",
        "cuda:0,,1", "cuda:-1", "cuda:0 ",     "cuda 0",          "cuda:1024"}) {
    EXPECT_EQ(
        UsageErrorOf([&] { (void)Devices::Parse(text); }),
        std::string("--devices ") + text +
            ": write cpu or cpu:N with N from 1 to 64, cuda:all, or the numbers of GPUs as in "
            "cuda:0 or cuda:0,2");
  }
}

TEST(Devices, GpuThatIsNamedTwiceIsRefused) {
  EXPECT_EQ(UsageErrorOf([&] { (void)Devices::Parse("cuda:0,2,0"); }),
            "--devices cuda:0,2,0: names GPU 0 twice");
}

TEST(Devices, GpusAreWrittenAsTheyAreRead) {
  Devices devices;
  devices.gpus = {0, 2};
  EXPECT_EQ(devices.Text(), "cuda:0,2");
  EXPECT_EQ(devices.lanes(), 2u);
}

Placement OneOf(std::uint32_t processes, std::uint32_t number) {
  Placement placement;
  placement.process = placement.local_process = number;
  placement.num_processes = placement.num_local_processes = processes;
  placement.source = "torchrun";
  return placement;
}

TEST(Devices, GpusThatNobodyNamedAreSharedOutEvenly) {
  Devices devices;
  devices.gpus = {0, 1, 2, 3};
  devices.choice = "computing on cuda:0,1,2,3 (NVIDIA H100)";
  EXPECT_EQ(ShareOf(devices, {}).Text(), "cuda:0,1,2,3");
  EXPECT_EQ(ShareOf(devices, OneOf(2, 1)).Text(), "cuda:2,3");
  EXPECT_EQ(ShareOf(devices, OneOf(2, 1)).choice,
            "computing on cuda:0,1,2,3 (NVIDIA H100); process 1 of this machine on cuda:2,3");
  EXPECT_EQ(ShareOf(devices, OneOf(4, 3)).Text(), "cuda:3");
  EXPECT_THAT(UsageErrorOf([&] { (void)ShareOf(devices, OneOf(3, 0)); }),
              ::testing::HasSubstr("cannot share 4 GPUs evenly"));
  devices.choice = "";
  EXPECT_EQ(ShareOf(devices, OneOf(2, 1)).Text(), "cuda:0,1,2,3") << "named";
}

TEST(Devices, CpuLanesAreEachProcessesOwnAndCoresAreShared) {
  Devices all = Devices::Parse("cpu:2");
  all.cores = 12;
  const Devices share = ShareOf(all, OneOf(3, 1));
  EXPECT_EQ(share.Text(), "cpu:2");
  EXPECT_EQ(share.cores, 4);
  EXPECT_EQ(share.sharing, 3u);
}

// What a program says depends on how it is built and on the machine; each must say something.
TEST(Devices, WithoutAGpuCudaIsRefusedAndNothingIsChosen) {
  const Gpus gpus = FindGpus();
  if (!gpus.names.empty()) {
    EXPECT_EQ(Devices::Parse("cuda").Text(), "cuda:0");
    EXPECT_EQ(Devices::Parse("cuda:all").gpus.size(), gpus.names.size());
    EXPECT_THAT(UsageErrorOf([&] { (void)Devices::Parse("cuda:1023"); }),
                HasSubstr("there is no GPU 1023; CUDA shows this process "));
    EXPECT_THAT(Devices::Parse("auto").choice, StartsWith("computing on cuda:0"));
    return;
  }
  ASSERT_THAT(gpus.problem, testing::Not(testing::IsEmpty()));
  for (const char* text : {"cuda", "cuda:0", "cuda:0,2", "cuda:all"}) {
    const std::string error = UsageErrorOf([&] { (void)Devices::Parse(text); });
    EXPECT_THAT(error, StartsWith(std::string("--devices ") + text + ": " + gpus.problem + "; "));
    EXPECT_THAT(error, HasSubstr("use --devices cpu"));
  }
  EXPECT_EQ(Devices::Parse("auto").Text(), "cpu:1");
  EXPECT_EQ(Devices::Parse("auto").choice, "computing on the CPU: " + gpus.problem);
}

}  // namespace
}  // namespace millrace::pipeline
