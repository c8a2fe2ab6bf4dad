// Asks the system to back large memory with huge pages, where it has a choice: what is written from
// end to end then does not wait for the addresses of its pages.
#pragma once

#include <cstddef>

namespace millrace {

// Of what lies in `memory` whole. A wish that may be refused; call it before the memory is first
// written. Nothing else changes.
void WishForHugePages(void* memory, std::size_t bytes);

}  // namespace millrace
