#include "pipeline/lane_thread.h"

#include <chrono>
#include <utility>

#include "base/clock.h"

namespace millrace::pipeline {

LaneThread::LaneThread(std::function<void(std::int64_t)> on_wait, std::function<bool()> busy)
    : on_wait_(std::move(on_wait)), busy_(std::move(busy)), thread_([this] { Run(); }) {}

LaneThread::~LaneThread() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void LaneThread::Add(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_one();
}

void LaneThread::AddStep(std::function<void()> step) {
  {
    const std::lock_guard lock(mutex_);
    steps_.push_back(std::move(step));
  }
  changed_.notify_one();
}

std::int64_t LaneThread::WaitForJob(std::unique_lock<std::mutex>& lock) {
  // A device says whether it is busy, but not when it ceases to be.
  constexpr auto kAskAgain = std::chrono::microseconds(200);
  const auto has_job = [this] { return ending_ || !idle(); };
  while (busy_()) {
    if (changed_.wait_for(lock, kAskAgain, has_job)) return 0;
  }
  const std::int64_t begin_ns = NowNs();
  changed_.wait(lock, has_job);
  return NowNs() - begin_ns;
}

void LaneThread::Run() {
  for (;;) {
    std::function<void()> job;
    std::int64_t waited_ns = 0;
    {
      std::unique_lock lock(mutex_);
      if (idle() && !ending_) waited_ns = WaitForJob(lock);
      if (idle()) return;
      const bool prepare = steps_.empty() || (!jobs_.empty() && steps_.size() < kStepsWaiting);
      auto& queue = prepare ? jobs_ : steps_;
      job = std::move(queue.front());
      queue.pop_front();
    }
    if (waited_ns > 0) on_wait_(waited_ns);
    job();
  }
}

}  // namespace millrace::pipeline
