// What the running process uses of its machine.
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace {

// Resident memory [bytes], memory-mapped files left out; 0 where the system does not tell.
std::uint64_t ResidentBytes();

// Cores that this process may run on (its affinity mask and control group), at least 1.
int AvailableCores();

// Raises the soft limit of open files, as far as the hard one allows, so that `files` may be open
// beside what everything else of a process needs. A refusal shows when a file cannot be opened.
void AllowOpenFiles(std::size_t files);

}  // namespace millrace
