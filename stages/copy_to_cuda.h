// The copy stage of a lane on a GPU: brings finished batches there while the GPU computes.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "stages/device_batch.h"
#include "stages/normalize.h"
#include "stages/slot.h"

namespace millrace::stages {

// Bytes cross the bus on a stream of their own; normalised, in the type that the network takes,
// they get on the stream that computes. Two batches can be on their way at a time: the one that
// Take() gave and the one behind it. Made and used on one thread, for the device and the stream
// that are current there. Throws c10::Error for what CUDA reports.
class CopyToCuda {
 public:
  CopyToCuda(const ChannelStatistics& statistics, c10::ScalarType image_type);
  ~CopyToCuda();
  CopyToCuda(const CopyToCuda&) = delete;
  CopyToCuda& operator=(const CopyToCuda&) = delete;

  // Starts the copy of a batch and returns. The slot's pixels should be pinned: pageable ones take
  // the host's time. REQUIRES: every batch before but one has been taken
  void Start(const Slot& slot);

  // The oldest batch that was started and not taken yet. The current stream waits for it, the
  // calling thread does not. It stays valid, for work on that stream, until the next Take();
  // batches of one size lie in the same memory, until a larger one comes. REQUIRES: there is one
  DeviceBatch Take();

  // Returns when the slot of the batch that was taken last has been read.
  void WaitUntilRead();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::stages
