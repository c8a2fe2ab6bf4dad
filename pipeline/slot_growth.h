// How many slots a graph needs, found out while it runs.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

namespace millrace::pipeline {

// Why there are more slots than before.
struct MoreSlots {
  std::uint32_t before = 0;
  std::uint32_t now = 0;
  std::int64_t waited_ns = 0;  // what a lane waited for a training batch [ns]
  std::int64_t step_ns = 0;    // how long its train steps take [ns]
};

// A lane that waits for data needs more slots only if all of them had held finished batches since
// it waited last: then the feed is fast enough on average, and a longer reserve would have bridged
// what held it up. A feed that is too slow never fills its slots, and gains nothing from more of
// them. (The rule is that of tf.data's PrefetchAutotuner,
// tensorflow/core/kernels/data/prefetch_autotuner.h.) How many more follows from Little's law: the
// batches that lanes consume in the time of the wait. Never fewer than before, so that a run that
// has seen its hiccups is not disturbed again. Any thread may call anything.
class SlotGrowth {
 public:
  // Begins with `slots`, goes up to `most`. REQUIRES: slots > 0, lanes > 0
  SlotGrowth(std::uint32_t slots, std::uint32_t most, std::uint32_t lanes);

  // A slot holds a finished batch from now on, until its step has ended.
  void BatchFinished();
  void StepEnded();

  // A lane waited for a training batch; its last step took `step_ns`. Returns how many slots there
  // are to be, if more.
  std::optional<MoreSlots> LaneWaited(std::int64_t waited_ns, std::int64_t step_ns);

  // A lane waited for a batch of an evaluation, whose steps are so short that the feed seldom keeps
  // up with them: no reserve of a sensible size would bridge all of it.
  void LaneWaitedInEvaluation();

 private:
  const std::uint32_t most_;
  const std::uint32_t lanes_;
  std::mutex mutex_;
  std::uint32_t slots_;         // guarded by mutex_, as what follows
  std::uint32_t finished_ = 0;  // slots with a finished batch
  bool was_full_ = false;       // all of them had one: the workers had nothing to do
};

}  // namespace millrace::pipeline
