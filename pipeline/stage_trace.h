// Every call of every stage with what it took of its thread: what `millrace profile` reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "pipeline/stage_stats.h"

namespace millrace::pipeline {

// One call of one stage. Plain data.
struct StageCall {
  static constexpr std::uint32_t kWholeBatch = ~std::uint32_t{0};

  Stage stage = Stage::kPlan;
  std::uint32_t thread = 0;            // numbered in the order of their first calls
  std::uint32_t lane = 0;              // of the batch
  std::uint32_t slot = 0;              // of the batch
  std::uint64_t batch = 0;             // its sequence
  std::uint32_t sample = kWholeBatch;  // its index in the batch
  std::int64_t begin_ns = 0;           // of base/clock.h
  std::int64_t end_ns = 0;
  // Processor time of the thread. The system counts it in ticks of some milliseconds: sums over
  // many calls are right, single values are not.
  std::int64_t processor_ns = 0;
  std::uint64_t bytes = 0;         // that the call produced; 0 where a stage produces none
  std::uint32_t minor_faults = 0;  // pages that were in memory and not mapped yet
  std::uint32_t major_faults = 0;  // pages for which the thread waited for a disk
};

// Keeps calls of one graph run. Any thread may add; costs two system calls for each call that is
// measured (about half a microsecond).
class StageTrace {
 public:
  // Calls beyond `most_calls` per thread are counted and dropped, which bounds the memory: 96 bytes
  // each.
  explicit StageTrace(std::size_t most_calls = std::size_t{1} << 20);
  ~StageTrace();
  StageTrace(const StageTrace&) = delete;
  StageTrace& operator=(const StageTrace&) = delete;

  // Measures the calling thread from construction to End().
  class Watch {
   public:
    Watch();
    // Completes times, processor time and faults of `call`.
    void End(StageCall* call) const;

   private:
    std::int64_t begin_ns_;
    std::int64_t processor_ns_;
    std::int64_t minor_faults_;
    std::int64_t major_faults_;
  };

  // Sets the call's thread.
  void Add(StageCall call);

  // All calls in the order of their ends. REQUIRES: nobody adds any more
  std::vector<StageCall> Calls() const;
  std::uint64_t dropped() const;  // REQUIRES: nobody adds any more

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::pipeline
