// Replicas of one network on the lanes of one process: averaging of gradients and sharing of
// buffers.
#pragma once

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <vector>

namespace millrace::model {

// All lanes' threads call the same methods in the same order, and each call ends when all have made
// it. Sums run over lanes in ascending order, so that results do not depend on timing and are equal
// on every lane, bit by bit.
class ReplicaGroup {
 public:
  // `stopped` is asked while waiting for other lanes; when it turns true the call throws Error
  // instead of waiting for a lane that will not come.
  ReplicaGroup(std::size_t lanes, std::function<bool()> stopped);

  std::size_t lanes() const { return lanes_; }

  // Replaces each lane's tensors by the mean over lanes. REQUIRES: the same shapes and types on
  // every lane
  void Average(std::size_t lane, const std::vector<at::Tensor>& tensors);

  // Overwrites each lane's tensors with lane 0's.
  void ShareFirst(std::size_t lane, const std::vector<at::Tensor>& tensors);

 private:
  // Returns when every lane has called it.
  void Wait();

  const std::size_t lanes_;
  const std::function<bool()> stopped_;
  std::vector<std::vector<at::Tensor>> tensors_;  // by lane; written before a Wait(), read after it

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t arrived_ = 0;     // guarded by mutex_
  std::size_t generation_ = 0;  // guarded by mutex_
};

}  // namespace millrace::model
