#include <malloc.h>

#include <cstdlib>

#include "tools/command.h"

namespace millrace::tools {

// A training step allocates and frees the same large blocks again and again. By default glibc gives
// them back to the kernel each time, which then clears them, page by page of 4 KiB, at the next
// use: a tenth to a third of a small network's step on a CPU.
void KeepTensorMemory() {
  constexpr int kGrowBytes = 64 << 20;
  ::mallopt(M_ARENA_MAX, 1);         // freed by one thread, used by another
  ::mallopt(M_MMAP_MAX, 0);          // large blocks come from the heap, too,
  ::mallopt(M_TRIM_THRESHOLD, -1);   // which never shrinks
  ::mallopt(M_TOP_PAD, kGrowBytes);  // and grows in large steps
  // LibTorch then asks for huge pages for blocks of 2 MiB and more (c10/core/impl/alloc_cpu.cpp).
  ::setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);
}

void ReturnFreedMemory() {
  // A threshold that is set stays; glibc's own rises to the largest block that was freed, and what
  // lies below it stays in the heap.
  constexpr int kLargeBytes = 1 << 20;
  ::mallopt(M_MMAP_THRESHOLD, kLargeBytes);
}

}  // namespace millrace::tools
