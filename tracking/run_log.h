// The run log: takes events from the trainer and hands them to every sink.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tracking/event.h"

namespace millrace::tracking {

// Any thread may emit; sinks see one event at a time, in the order of emission.
class RunLog {
 public:
  // Takes part in everything emitted from now on.
  void Add(std::unique_ptr<Sink> sink) {
    const std::lock_guard lock(mutex_);
    sinks_.push_back(std::move(sink));
  }

  void Emit(const Scalars& scalars) {
    const std::lock_guard lock(mutex_);
    for (const auto& sink : sinks_) sink->OnScalars(scalars);
  }
  void Emit(const Progress& progress) {
    const std::lock_guard lock(mutex_);
    for (const auto& sink : sinks_) sink->OnProgress(progress);
  }
  // One line for people.
  template <typename... Args>
  void Text(fmt::format_string<Args...> format, Args&&... args) {
    const std::string line = fmt::format(format, std::forward<Args>(args)...);
    const std::lock_guard lock(mutex_);
    for (const auto& sink : sinks_) sink->OnText(line);
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Sink>> sinks_;  // guarded by mutex_
};

}  // namespace millrace::tracking
