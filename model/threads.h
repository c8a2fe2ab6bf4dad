// How many threads a network's arithmetic uses.
#pragma once

namespace millrace::model {

// Lets the calling thread split ATen, oneDNN and MKL work over `threads` threads, itself included.
// Each lane calls it once in its own thread, before its first tensor: OpenMP keeps the number per
// thread (MKL keeps one for the process: the last call wins). REQUIRES: threads >= 1
void SetComputeThreads(int threads);

// What the calling thread uses.
int ComputeThreads();

}  // namespace millrace::model
