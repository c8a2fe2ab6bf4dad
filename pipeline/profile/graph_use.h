// What a run of the graph made of its threads: per stage, for the workers and for the lanes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pipeline/stage_trace.h"

namespace millrace::pipeline {

// One stage within a span of time.
struct StageUse {
  std::uint64_t calls = 0;     // that ended within it
  double busy_cores = 0;       // threads in the stage, mean over the span
  double processor_cores = 0;  // the same in processor time; less than busy where the stage waits
  double mean_ms = 0;          // service time [ms]
  double p50_ms = 0;
  double p90_ms = 0;
  double p99_ms = 0;
  // From the end of the stage before (of plan: of the slot's last train step) to the beginning of
  // this one, mean [ms]: how long batches or samples lie in front of it.
  double queued_ms = 0;
  std::uint64_t bytes = 0;  // that it produced
  std::uint64_t minor_faults = 0;
  std::uint64_t major_faults = 0;
};

// [begin_ns, end_ns] of base/clock.h.
struct Span {
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;

  double seconds() const { return static_cast<double>(end_ns - begin_ns) * 1e-9; }
};

struct GraphUse {
  Span span;
  std::uint64_t batches = 0;  // whose train step ended within the span
  std::uint64_t samples = 0;  // of these
  // Summed over lanes, each from its first train step that ended within the span to its last one.
  double images_per_s = 0;
  std::array<StageUse, kNumStages> stages;
  // Shares of the span, 0 to 1.
  double workers_busy = 0;   // of the time of all workers: in plan, read, decode, augment, collate
                             // or sequence
  double lanes_busy = 0;     // of the time of all lanes: in copy or train step; for the rest they
                             // wait for data
  double backlog = 0;        // samples lie in front of read: more workers would find work
  double ready = 0;          // a finished batch waits for its train step
  double ready_batches = 0;  // how many do, mean

  const StageUse& of(Stage stage) const { return stages[static_cast<std::size_t>(stage)]; }
};

// From the end of lane 0's train step number `warm_up` (counted from 1) to that of its last one: at
// both ends the lanes stand at the same point of a step. A span of nothing when there are not more
// of them than that.
Span SpanOfSteps(const std::vector<StageCall>& calls, std::size_t warm_up);

// `calls` in the order of their ends, of a graph with so many workers and lanes. REQUIRES: the span
// is not empty
GraphUse UseWithin(const std::vector<StageCall>& calls, Span span, int workers,
                   std::uint32_t lanes);

// A number of batches or samples from a moment on, until the next one of its list.
struct CountFrom {
  std::int64_t from_ns = 0;
  int count = 0;
};
// Batches that are finished and whose train step has not begun.
std::vector<CountFrom> CountReadyBatches(const std::vector<StageCall>& calls);
// Batches between the beginning of their plan and the end of their train step.
std::vector<CountFrom> CountBatchesInFlight(const std::vector<StageCall>& calls);
// Samples that are planned and not begun to be read yet.
std::vector<CountFrom> CountSamplesWaiting(const std::vector<StageCall>& calls);

}  // namespace millrace::pipeline
