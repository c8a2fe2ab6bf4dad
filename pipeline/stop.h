// Who stops whom: one stop request and one first failure, shared by all nodes, lanes and the
// trainer.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>

namespace millrace::pipeline {

// Starts unset; once set, every node drops what reaches it and the graph runs empty. Any thread may
// call anything.
class Stop {
 public:
  // Ends the work without blame: interrupted, or all done.
  void Request() { stopped_.store(true, std::memory_order_release); }

  // Ends the work because of `error`. What fails once the work is ending, for whatever reason, is a
  // consequence of that (a lane that waits for another one in vain) and is not kept.
  void Fail(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (stopped()) return;
    failure_ = std::move(error);
    Request();
  }

  bool stopped() const { return stopped_.load(std::memory_order_acquire); }

  // Throws the first failure, if there was one.
  void Rethrow() const {
    const std::lock_guard lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::atomic<bool> stopped_{false};
  mutable std::mutex mutex_;
  std::exception_ptr failure_;  // guarded by mutex_
};

}  // namespace millrace::pipeline
