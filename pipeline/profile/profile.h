// Measures the graph of a recipe in three ways and says what limits it: with the train step, the
// feed alone, and the lanes alone on batches that are in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/process.h"
#include "pipeline/graph.h"
#include "pipeline/profile/graph_use.h"

namespace millrace::pipeline {

// The lanes of one measured run, which end when `stop` is set.
using MakeLanes = std::function<std::vector<std::unique_ptr<LaneWork>>(const Stop& stop)>;

struct MeasureOptions {
  GraphOptions graph;
  double seconds = 10;  // of each measurement, after its warm-up; longer when a step takes long
  // Told which measurement is under way and how many seconds of it are done; from lane 0's thread.
  std::function<void(std::string_view label, double done_s)> progress;
};

// What is measured.
struct MeasuredGraph {
  SampleWork& samples;
  std::uint32_t lanes = 1;
  // The same batches for every measurement, without an end. Called once for each.
  std::function<std::function<std::optional<stages::Batch>()>()> batches;
  MakeLanes feed_lanes;  // bring batches to their devices and do nothing with them
  MakeLanes step_lanes;  // also take the train step; empty: there is none
  // Memory of this process in which all lanes together keep their own copies of batches; not that
  // of other devices. [bytes]
  std::uint64_t lane_bytes = 0;
};

struct Measurement {
  GraphUse use;
  std::vector<StageCall> calls;  // of the whole run, in the order of their ends
  std::uint64_t dropped = 0;     // calls that are not in it
  std::uint32_t slots = 0;       // at the end
  ResidentMemory memory;         // of the process, at the end, with what follows
  std::uint64_t slot_bytes = 0;  // of these slots
  std::uint64_t lane_bytes = 0;  // of the lanes' own copies of batches
};

struct Measurements {
  std::optional<Measurement> whole;  // with the train step
  Measurement feed;                  // without
  std::optional<Measurement> lanes;  // the train step on batches that lie in their slots

  // The run that users care about.
  const Measurement& main() const { return whole ? *whole : feed; }
};

// Runs the graph until enough steps are measured, once for each measurement. Throws the first
// failure, with the stages that failed and in how many of their calls. Blocks.
Measurements MeasureGraph(const MeasureOptions& options, const MeasuredGraph& graph);

}  // namespace millrace::pipeline
