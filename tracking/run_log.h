// The run log: takes events from the trainer and hands them to every sink.
#pragma once

#include <fmt/format.h>

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tracking/event.h"

namespace millrace::tracking {

// Any thread may emit; it only puts the event into a queue, without a system call. A thread of the
// log's own takes what has come every few hundredths of a second and hands it to the sinks: they
// see one event at a time, in the order of emission.
//
// Nothing is lost but what a killed process had not yet taken from the queue, and, where sinks
// cannot keep up, pictures beyond 64 MiB of them and progress that newer progress has overtaken.
// Whoever needs an event to be in a file calls Flush().
//
// A sink that throws gets no more events; its error is thrown by every later Emit, Text, Flush and
// Finish, the first one where there are several.
class RunLog {
 public:
  RunLog() = default;
  // Hands on what is queued. Sinks are destroyed in the order in which they were added.
  ~RunLog();
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  // Takes part in everything emitted from now on. Flushes first.
  void Add(std::unique_ptr<Sink> sink);

  void Emit(Event event);
  // One line for people.
  template <typename... Args>
  void Text(fmt::format_string<Args...> format, Args&&... args) {
    Emit(Message{fmt::format(format, std::forward<Args>(args)...)});
  }

  // Returns when every sink has had everything that was emitted before. Not for sinks to call.
  void Flush();

  // Flush(), then Finish() of every sink. Lines that they say come through.
  void Finish();

 private:
  struct Member {
    std::unique_ptr<Sink> sink;
    bool failed = false;
  };

  void Queue(Event event);
  void Deliver(const Event& event);
  void Fail(Member& member);
  void Work();
  void ThrowFailure() const;

  mutable std::mutex mutex_;       // the queue's; never held while a sink works
  std::condition_variable wake_;   // the worker need not wait for its next round
  std::condition_variable taken_;  // delivered_ has changed
  std::vector<Event> queue_;
  std::uint64_t emitted_ = 0;      // events, that were ever queued
  std::uint64_t delivered_ = 0;    // of them
  std::size_t picture_bytes_ = 0;  // of the pictures in the queue and under way
  std::uint64_t lost_pictures_ = 0;
  std::exception_ptr failure_;
  bool hurry_ = false;
  bool ending_ = false;
  std::thread worker_;  // runs when there is a sink

  std::mutex sinks_mutex_;
  std::vector<Member> members_;  // guarded by sinks_mutex_
};

}  // namespace millrace::tracking
