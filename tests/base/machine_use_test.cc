#include "base/machine_use.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/support/temporary_folder.h"

namespace millrace {
namespace {

class MachineUseTest : public testing::Test {
 protected:
  // A file below what stands for "/".
  void Write(const char* path, const char* text) {
    CreateFolders((root_ / path).parent_path());
    WriteFileAtomically(root_ / path, text);
  }

  const test::TemporaryFolder root_;
};

TEST_F(MachineUseTest, TimeOfCoresIsBusyUnlessIdleOrWaitingForADisk) {
  Write("proc/stat",
        "cpu  100 20 30 700 50 3 7 90 40 5\ncpu0 100 20 30 700 50 3 7 90 40 5\nintr 1 2 3\n");
  const auto cpu = ReadMachineUse(root_.path()).cpu;
  ASSERT_TRUE(cpu);
  // Guests, the last two, are in the first two already.
  EXPECT_EQ(cpu->ticks, 1000u);
  EXPECT_EQ(cpu->busy, 250u);
}

TEST_F(MachineUseTest, MemoryIsTakenUnlessItIsAvailable) {
  Write("proc/meminfo",
        "MemTotal:       24684100 kB\nMemFree:        10512040 kB\nMemAvailable:   21445560 kB\n"
        "Buffers:          12 kB\nHugePages_Total:       0\n");
  const auto memory = ReadMachineUse(root_.path()).memory;
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->total, std::uint64_t{24684100} * 1024);
  EXPECT_EQ(memory->available, std::uint64_t{21445560} * 1024);
}

TEST_F(MachineUseTest, DisksAreCountedOnceWhateverLiesOnThem) {
  Write("proc/diskstats",
        "   7       0 loop0 101 0 12862 118 38 14 32830 216 0 132 408 0 0 0 0 15 73\n"
        " 259       0 nvme0n1 9 1 1000 5 8 2 300 6 0 7 8\n"
        " 259       1 nvme0n1p1 9 1 1000 5 8 2 300 6 0 7 8\n"
        " 253       0 dm-0 9 1 1000 5 8 2 300 6 0 7 8\n"
        " 104       0 cciss/c0d0 1 0 10 1 1 0 20 1 0 1 1 0 0 0 0\n"
        " 8 0 sda 1 2\n");
  for (const char* disk : {"loop0", "dm-0"}) CreateFolders(root_ / "sys/block" / disk);
  for (const char* disk : {"nvme0n1", "cciss!c0d0", "sda"}) {
    CreateFolders(root_ / "sys/block" / disk / "device");
  }
  const auto disks = ReadMachineUse(root_.path()).disks;
  ASSERT_TRUE(disks);
  EXPECT_EQ(disks->in, 1010u * 512);
  EXPECT_EQ(disks->out, 320u * 512);
}

TEST_F(MachineUseTest, NetworkIsWhatGoesToOtherMachinesCountedOnce) {
  Write("proc/net/dev",
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
        "drop fifo colls carrier compressed\n"
        "    lo: 393579844605 10664654    0    0    0     0          0         0 393579844605 "
        "10664654    0    0    0     0       0          0\n"
        " bond0: 700 9 0 0 0 0 0 0 60 7 0 0 0 0 0 0\n"
        "  eth0:400 9 0 0 0 0 0 0 20 7 0 0 0 0 0 0\n"
        "  eth1: 300 9 0 0 0 0 0 0 40 7 0 0 0 0 0 0\n"
        "  eth2: 5 9 0 0 0 0 0 0 6 7 0 0 0 0 0 0\n");
  for (const char* part : {"eth0", "eth1"}) {
    CreateFolders(root_ / "sys/class/net" / part / "master");
  }
  const auto network = ReadMachineUse(root_.path()).network;
  ASSERT_TRUE(network);
  EXPECT_EQ(network->in, 705u);
  EXPECT_EQ(network->out, 66u);
}

TEST_F(MachineUseTest, WhatTheSystemDoesNotTellIsLeftOut) {
  Write("proc/stat", "cpu 1 2 3\n");
  Write("proc/meminfo", "MemAvailable: 5 kB\n");
  Write("proc/diskstats", "nonsense\n\n");
  const MachineUse use = ReadMachineUse(root_.path());
  EXPECT_FALSE(use.cpu);
  EXPECT_FALSE(use.memory);
  EXPECT_FALSE(use.disks);
  EXPECT_FALSE(use.network);
}

TEST_F(MachineUseTest, ThisMachineTellsItsMemoryAndItsWork) {
  const MachineUse before = ReadMachineUse();
  ASSERT_TRUE(before.cpu && before.memory);
  EXPECT_GT(before.memory->available, 0u);
  EXPECT_LE(before.memory->available, before.memory->total);
  // Until the kernel has counted a tick.
  MachineUse after = before;
  while (after.cpu->busy <= before.cpu->busy) after = ReadMachineUse();
  EXPECT_GT(after.cpu->ticks, before.cpu->ticks);
}

}  // namespace
}  // namespace millrace
