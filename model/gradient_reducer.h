// Averages gradients over all ranks, bucket by bucket, while backward still computes others.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "model/named_tensor.h"
#include "model/process_group.h"

namespace millrace::model {

// c10d's Reducer, which PyTorch's DistributedDataParallel stands on (Li et al., "PyTorch
// Distributed", arXiv:2006.15704). Buckets are filled in the reverse order of the parameters, which
// is about that of their gradients, and are settled before the first step: what is added up with
// what follows from the network and the number of ranks alone, never from timing, so that the same
// gradients give the same means on every rank, bit by bit, however ranks share processes. Ranks of
// one machine that are CPUs average in memory (RankMemory), all others through c10d.
class GradientReducer {
 public:
  // From then on the parameters' gradients are parts of the buckets: they must not be replaced, and
  // are zeroed in place. Returns when all ranks have made theirs; `group` must outlive it. Errors:
  // LostRank. REQUIRES: the same parameters on every rank, all with gradients and all used by
  // backward
  GradientReducer(ProcessGroup& group, std::span<const NamedTensor> parameters);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  // Runs `backward`, once in it, the step's last; gradients that earlier ones of this step left
  // stay in the sum. When it returns they are the means over ranks (for GPUs: to what is queued
  // next). Errors: LostRank, and what `backward` throws.
  void Average(const std::function<void()>& backward);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::model
