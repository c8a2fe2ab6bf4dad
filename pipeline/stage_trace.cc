#include "pipeline/stage_trace.h"

#include <oneapi/tbb/enumerable_thread_specific.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>

#include "base/clock.h"

namespace millrace::pipeline {
namespace {

std::int64_t Nanoseconds(const ::timeval& time) {
  return (std::int64_t{time.tv_sec} * 1'000'000 + time.tv_usec) * 1'000;
}

::rusage UsageOfThread() {
  ::rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return usage;
}

struct ThreadCalls {
  std::uint32_t number = 0;
  std::uint64_t dropped = 0;
  std::vector<StageCall> calls;
};

}  // namespace

struct StageTrace::Impl {
  explicit Impl(std::size_t most) : most_calls(most) {}

  const std::size_t most_calls;
  std::atomic<std::uint32_t> num_threads{0};
  oneapi::tbb::enumerable_thread_specific<ThreadCalls> threads{
      [this] { return ThreadCalls{.number = num_threads++, .dropped = 0, .calls = {}}; }};
};

StageTrace::StageTrace(std::size_t most_calls) : impl_(std::make_unique<Impl>(most_calls)) {}

StageTrace::~StageTrace() = default;

StageTrace::Watch::Watch() {
  const ::rusage usage = UsageOfThread();
  processor_ns_ = Nanoseconds(usage.ru_utime) + Nanoseconds(usage.ru_stime);
  minor_faults_ = usage.ru_minflt;
  major_faults_ = usage.ru_majflt;
  begin_ns_ = NowNs();
}

void StageTrace::Watch::End(StageCall* call) const {
  call->begin_ns = begin_ns_;
  call->end_ns = NowNs();
  const ::rusage usage = UsageOfThread();
  call->processor_ns = Nanoseconds(usage.ru_utime) + Nanoseconds(usage.ru_stime) - processor_ns_;
  call->minor_faults = static_cast<std::uint32_t>(usage.ru_minflt - minor_faults_);
  call->major_faults = static_cast<std::uint32_t>(usage.ru_majflt - major_faults_);
}

void StageTrace::Add(StageCall call) {
  ThreadCalls& mine = impl_->threads.local();
  if (mine.calls.size() >= impl_->most_calls) {
    ++mine.dropped;
    return;
  }
  call.thread = mine.number;
  mine.calls.push_back(call);
}

std::vector<StageCall> StageTrace::Calls() const {
  std::vector<StageCall> all;
  for (const ThreadCalls& thread : impl_->threads) {
    all.insert(all.end(), thread.calls.begin(), thread.calls.end());
  }
  std::sort(all.begin(), all.end(),
            [](const StageCall& a, const StageCall& b) { return a.end_ns < b.end_ns; });
  return all;
}

std::uint64_t StageTrace::dropped() const {
  std::uint64_t total = 0;
  for (const ThreadCalls& thread : impl_->threads) total += thread.dropped;
  return total;
}

}  // namespace millrace::pipeline
