// The copy stage of a lane on a GPU: brings batches there, finished or to be decoded there, while
// the GPU computes.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "stages/device_batch.h"
#include "stages/normalize.h"
#include "stages/sample.h"
#include "stages/slot.h"

namespace millrace::stages {

// Bytes cross the bus, and a slot's cargo is decoded (gpu/device_decoder.h), on a stream of their
// own; normalised, as the network takes them, pixels get on the stream that computes. Two
// batches can be on their way at a time: the one that Take() gave and the one behind it. Made and
// used on one thread, for the device and the stream that are current there. Throws Error, or
// c10::Error, for what CUDA reports.
class CopyToCuda {
 public:
  // `decode_on_host` is asked only for slots with cargo.
  CopyToCuda(const ChannelStatistics& statistics, ImageFormat format, DecodeOnHost decode_on_host);
  ~CopyToCuda();
  CopyToCuda(const CopyToCuda&) = delete;
  CopyToCuda& operator=(const CopyToCuda&) = delete;

  // Starts the copy of a batch and returns. The slot's pixels should be pinned: pageable ones take
  // the host's time. REQUIRES: every batch before but one has been taken; the slot stays until this
  // one is
  void Start(Slot& slot);

  // The oldest batch that was started and not taken yet. The current stream waits for it; the
  // calling thread does only where the device decodes, to know that nothing was damaged, and leaves
  // the digests in the slot. It stays valid, for work on that stream, until the next Take();
  // batches of one size lie in the same memory, until a larger one comes. REQUIRES: there is one
  DeviceBatch Take();

  // Returns when the slot of the batch that was taken last has been read.
  void WaitUntilRead();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::stages
