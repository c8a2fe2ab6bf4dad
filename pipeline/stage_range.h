// Ranges of time with the stages' names, for NVIDIA's tools (Nsight Systems).
//
// nvtx_stage_range.cc implements it in programs that are built with CUDA, no_stage_range.cc in all
// others, where nothing is done.
#pragma once

#include "pipeline/stage_stats.h"

namespace millrace::pipeline {

// From construction to destruction, on the calling thread; such ranges may lie in one another.
// Without a tool that listens it costs some nanoseconds.
class StageRange {
 public:
  explicit StageRange(Stage stage);
  ~StageRange();
  StageRange(const StageRange&) = delete;
  StageRange& operator=(const StageRange&) = delete;
};

}  // namespace millrace::pipeline
