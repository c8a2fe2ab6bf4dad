// What the running process uses of its machine, and which that is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>

namespace millrace {

// Resident memory by its kinds [bytes]; 0 where the system does not tell.
struct ResidentMemory {
  std::uint64_t anonymous = 0;  // heaps and stacks
  std::uint64_t shared = 0;     // between processes, without a file
  std::uint64_t files = 0;      // mapped files: the page cache, which the system takes back

  std::uint64_t beyond_page_cache() const { return anonymous + shared; }
};
ResidentMemory ReadResidentMemory();

// Memory [bytes] that this process may fill: the machine's, or what its control group (version 1 or
// 2) and those that it lies in allow.
std::uint64_t MemoryLimit();
// The least of what groups allow: `groups` is what /proc/self/cgroup says, `folder` where groups
// are found (/sys/fs/cgroup). The largest number where none says anything.
std::uint64_t MemoryLimitOfGroups(std::istream& groups, const std::filesystem::path& folder);

// Cores that this process may run on (its affinity mask and control group), at least 1.
int AvailableCores();

// What this machine calls itself.
std::string HostName();

// Names the calling thread for `top -H`, debuggers and tests/bench/tracking_cost.py. REQUIRES: at
// most 15 bytes
void NameThisThread(const char* name);

// Raises the soft limit of open files, as far as the hard one allows, so that `files` may be open
// beside what everything else of a process needs. A refusal shows when a file cannot be opened.
void AllowOpenFiles(std::size_t files);

}  // namespace millrace
