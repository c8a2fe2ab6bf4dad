// The thread of one lane: takes work in the order it was given, so that a blocked device never
// occupies a worker.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace millrace::pipeline {

// Runs jobs one after the other on a thread of its own, from construction to destruction. Jobs must
// not throw. There are two kinds, each in the order in which it was given: those that prepare
// (copies) and those that follow on them (train steps). A device is to find the copy of its next
// batch behind the step that it is at, whenever that batch came: so what prepares goes first until
// two steps are waiting, which bounds what a lane holds before it gives slots back.
class LaneThread {
 public:
  // `on_wait` is told how long the thread had nothing to do, each time that a job ends such a time
  // [ns]. As long as `busy` says so, the device still has something to do and the time does not
  // count; asked on this thread, must not throw.
  explicit LaneThread(
      std::function<void(std::int64_t)> on_wait, std::function<bool()> busy = [] { return false; });
  // Runs what is queued, then ends the thread.
  ~LaneThread();
  LaneThread(const LaneThread&) = delete;
  LaneThread& operator=(const LaneThread&) = delete;

  // Any thread may add a job.
  void Add(std::function<void()> job);
  void AddStep(std::function<void()> step);

 private:
  static constexpr std::size_t kStepsWaiting = 2;

  bool idle() const { return jobs_.empty() && steps_.empty(); }  // REQUIRES: mutex_ is held
  // Returns for how long there was nothing to do [ns].
  std::int64_t WaitForJob(std::unique_lock<std::mutex>& lock);
  void Run();

  const std::function<void(std::int64_t)> on_wait_;
  const std::function<bool()> busy_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;   // guarded by mutex_
  std::deque<std::function<void()>> steps_;  // guarded by mutex_
  bool ending_ = false;                      // guarded by mutex_
  std::thread thread_;                       // last: starts when all else is there
};

}  // namespace millrace::pipeline
