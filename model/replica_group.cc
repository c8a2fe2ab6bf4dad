#include "model/replica_group.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <chrono>
#include <utility>

#include "base/error.h"

namespace millrace::model {

ReplicaGroup::ReplicaGroup(std::size_t lanes, std::function<bool()> stopped)
    : lanes_(lanes), stopped_(std::move(stopped)), tensors_(lanes) {}

void ReplicaGroup::Average(std::size_t lane, const std::vector<at::Tensor>& tensors) {
  if (lanes_ == 1) return;
  tensors_[lane] = tensors;
  Wait();
  {
    const c10::NoGradGuard no_grad;
    // Each lane does its share of the tensors for all.
    for (std::size_t i = lane; i < tensors.size(); i += lanes_) {
      at::Tensor mean = tensors_[0][i].clone();
      for (std::size_t other = 1; other < lanes_; ++other) mean.add_(tensors_[other][i]);
      mean.div_(static_cast<double>(lanes_));
      for (std::size_t other = 0; other < lanes_; ++other) tensors_[other][i].copy_(mean);
    }
  }
  Wait();
}

void ReplicaGroup::ShareFirst(std::size_t lane, const std::vector<at::Tensor>& tensors) {
  if (lanes_ == 1) return;
  tensors_[lane] = tensors;
  Wait();
  if (lane > 0) {
    const c10::NoGradGuard no_grad;
    for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].copy_(tensors_[0][i]);
  }
  Wait();
}

void ReplicaGroup::Wait() {
  std::unique_lock lock(mutex_);
  const std::size_t generation = generation_;
  if (++arrived_ == lanes_) {
    arrived_ = 0;
    ++generation_;
    lock.unlock();
    changed_.notify_all();
    return;
  }
  // A lane that fails never arrives; its failure is seen within this time.
  constexpr auto kPoll = std::chrono::milliseconds(50);
  while (!changed_.wait_for(lock, kPoll, [&] { return generation_ != generation; })) {
    if (stopped_()) Fail("a lane waited for another one that has stopped");
  }
}

}  // namespace millrace::model
