// What all processes of this machine together use of it, as its kernel counts it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace millrace {

// A part is left out where the system does not tell it. Counters begin when the machine starts.
struct MachineUse {
  struct Cpu {
    std::uint64_t ticks = 0;  // of all cores together
    std::uint64_t busy = 0;   // of them, neither idle nor waiting for a disk
  };
  struct Memory {
    std::uint64_t total = 0;      // [bytes]
    std::uint64_t available = 0;  // to programs, what caches give back included [bytes]
  };
  struct Traffic {
    std::uint64_t in = 0;   // read, received [bytes]
    std::uint64_t out = 0;  // written, sent [bytes]
  };
  std::optional<Cpu> cpu;
  std::optional<Memory> memory;
  std::optional<Traffic> disks;    // devices themselves: what lies on them is not counted twice
  std::optional<Traffic> network;  // with other machines, but not what bypasses the kernel (RDMA)
};

// In a container, most of it is still the machine's. `root`: the folder that holds proc/ and sys/.
// Never fails.
MachineUse ReadMachineUse(const std::filesystem::path& root = "/");

}  // namespace millrace
