// What a lane does together with the lanes of all processes: means of gradients, reports of steps,
// counts of evaluations.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "model/evaluation_result.h"
#include "model/gradient_reducer.h"
#include "model/network.h"
#include "model/process_group.h"

namespace millrace::pipeline {

// What a lane tells all others of one step.
struct StepReport {
  double loss = 0;            // sum over its micro-batches
  std::uint64_t digest = 0;   // the same of Slot::Digest
  bool interrupted = false;   // whether its process has been asked to end
  std::uint64_t weights = 0;  // a hash over them; 0: not taken
};

// Where a lane stands that waits for others.
struct Waiting {
  std::int64_t since_ns = 0;  // 0: it does not
  std::uint64_t step = 0;
  const char* what = "";
};

// One rank. A world of one lane shares nothing: every call has its result at once. All ranks make
// the same calls in the same order; on the lane's thread, if nothing else is said. Errors:
// model::LostRank, after which a rank only closes.
class LaneGroup {
 public:
  // The only rank.
  LaneGroup();
  // Returns when all ranks are connected and have shown each other equal weights. Throws Error
  // naming the rank whose weights are others; the group then serves nobody. `network` must outlive
  // it. `trains`: its gradients will be averaged.
  LaneGroup(const model::ProcessGroupOptions& options, const model::Network& network, bool trains);
  ~LaneGroup();
  LaneGroup(const LaneGroup&) = delete;
  LaneGroup& operator=(const LaneGroup&) = delete;

  std::uint32_t rank() const { return group_ ? group_->rank() : 0; }
  std::uint32_t world_size() const { return world_size_; }

  // Has the network normalise its batches together with those of the other ranks, if it is to.
  void Synchronize(model::Network& network) const;
  // Runs `pass`, forward and backward of a micro-batch whose gradients stay on this rank, of a
  // network that was synchronised.
  void Accumulate(std::uint64_t step, const std::function<void()>& pass);
  // Runs `backward`, the last of step `step`, and leaves the means over ranks in the gradients.
  void Average(std::uint64_t step, const std::function<void()>& backward);
  // The reports of all ranks, by rank. Throws Error naming the rank whose weights are others.
  std::vector<StepReport> Gather(std::uint64_t step, const StepReport& mine);
  // Overwrites tensors with rank 0's.
  void ShareFirst(std::uint64_t step, const std::vector<at::Tensor>& tensors);
  // Brings what the ranks below `ranks`, which have some, found to rank 0, where it is added to
  // `result`.
  void Collect(std::uint64_t step, std::uint32_t ranks, model::EvaluationResult& result);

  // Held while the lane works on a batch.
  std::mutex& turn() { return turn_; }
  // Ends the connections, so that no other rank waits for this one in vain. While turn() is held.
  void Close() noexcept;

  // Any thread.
  Waiting waiting() const;

 private:
  // Notes that the lane waits, for as long as `body` runs.
  void Wait(const char* what, std::uint64_t step, const std::function<void()>& body);
  void RequireEqual(const std::vector<StepReport>& reports, std::uint64_t step) const;

  const std::uint32_t world_size_;
  std::unique_ptr<model::ProcessGroup> group_;       // nullptr: the only rank, or closed
  std::unique_ptr<model::GradientReducer> reducer_;  // the same, or does not train
  std::mutex turn_;
  mutable std::mutex waiting_mutex_;
  Waiting waiting_;  // guarded by waiting_mutex_
};

// A number for each weight, which differs where weights differ but in their order: sums of their
// bits, on their device.
at::Tensor SumsOfWeights(const model::Network& network);
// The hash over SumsOfWeights(), once they are on the CPU; never 0.
std::uint64_t HashOfSums(const at::Tensor& sums);

}  // namespace millrace::pipeline
