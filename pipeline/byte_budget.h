// Bounds the memory of work in flight, whatever the size of a single piece.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace millrace::pipeline {

// So many bytes may be taken at a time. Any thread.
class ByteBudget {
 public:
  explicit ByteBudget(std::uint64_t bytes) : limit_(bytes) {}
  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;

  // Waits until the bytes are free and takes them. A piece larger than the whole budget waits until
  // it is the only one. Whoever waits must not hold bytes of the same budget.
  void Take(std::uint64_t bytes) {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] { return taken_ == 0 || taken_ + bytes <= limit_; });
    taken_ += bytes;
  }

  void Give(std::uint64_t bytes) {
    {
      const std::scoped_lock lock(mutex_);
      taken_ -= bytes;
    }
    freed_.notify_all();
  }

 private:
  const std::uint64_t limit_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::uint64_t taken_ = 0;  // guarded by mutex_
};

// Bytes of a budget, given back at the end of a scope.
class BudgetShare {
 public:
  BudgetShare(ByteBudget& budget, std::uint64_t bytes) : budget_(budget), bytes_(bytes) {
    budget_.Take(bytes_);
  }
  ~BudgetShare() { budget_.Give(bytes_); }
  BudgetShare(const BudgetShare&) = delete;
  BudgetShare& operator=(const BudgetShare&) = delete;

 private:
  ByteBudget& budget_;
  const std::uint64_t bytes_;
};

}  // namespace millrace::pipeline
