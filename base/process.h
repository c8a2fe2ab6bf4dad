// What the running process uses of its machine.
#pragma once

#include <cstdint>

namespace millrace {

// Resident memory [bytes], memory-mapped files left out; 0 where the system does not tell.
std::uint64_t ResidentBytes();

// Cores that this process may run on (its affinity mask and control group), at least 1.
int AvailableCores();

}  // namespace millrace
