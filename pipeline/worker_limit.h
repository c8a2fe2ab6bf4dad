// How many of its workers a graph uses, found out while it runs.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

namespace millrace::pipeline {

// Why there are fewer or more workers at work than before.
struct WorkersAtWork {
  int before = 0;
  int now = 0;
  double busy = 0;             // how many were busy, on average, while no lane waited
  std::int64_t waited_ns = 0;  // what a lane waited for a training batch [ns]; 0: none waited
};

// While no lane waits, the time that samples spent in their stages says how many workers the lanes'
// pace keeps busy (Little's law). Twice as many are used, so that what a hiccup has cost is soon
// caught up; the others sleep, and leave cores, caches and clock to the rest. As soon as a lane
// waits for a training batch all are used, and from then on at least twice as many as were too few:
// a limit is wrong once, not every second. Evaluations, which only the feed holds up, always use
// all. Any thread may call anything.
class WorkerLimit {
 public:
  // Begins with all `workers`, goes down to `least`; not fewer than `workers`: all, always.
  // REQUIRES: workers > 0, least > 0
  WorkerLimit(int workers, int least);

  // How many samples may be under way at a time.
  int now() const { return now_.load(std::memory_order_relaxed); }
  int all() const { return workers_; }

  // A training step has ended at `now_ns`, until when samples have spent `stages_ns` in their
  // stages [ns]. Returns what has changed, if anything.
  std::optional<WorkersAtWork> StepEnded(std::int64_t now_ns, std::int64_t stages_ns);

  // A lane waited for a training batch; its last step took `step_ns`.
  std::optional<WorkersAtWork> LaneWaited(std::int64_t waited_ns, std::int64_t step_ns);

  // A lane waited for a batch of an evaluation, and the first training batches behind it will be
  // late: until lanes wait no more that says nothing about the limit.
  void LaneWaitedInEvaluation();

 private:
  const int workers_;
  std::mutex mutex_;
  int least_;                   // guarded by mutex_, as what follows
  int chosen_;                  // with which lanes did not wait
  bool settling_ = true;        // all are used until lanes wait no more
  std::int64_t window_ns_ = 0;  // when the measurement began; 0: with the next step
  std::int64_t window_stages_ns_ = 0;
  int window_steps_ = 0;
  std::atomic<int> now_;
};

}  // namespace millrace::pipeline
