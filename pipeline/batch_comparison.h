// Makes batches of two runs again, from their recipes and datasets, and finds the first sample in
// which they differ.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "pipeline/run_record.h"
#include "pipeline/stage_stats.h"

namespace millrace::pipeline {

struct DifferingSample {
  Stage stage = Stage::kPlan;  // the first one whose result differs
  std::uint64_t step = 0;      // counted from 1, as in metrics.jsonl
  std::uint64_t position = 0;  // in its epoch
  std::uint64_t sample_a = 0;  // ids
  std::uint64_t sample_b = 0;
  std::string text;  // for people
};

struct BatchComparison {
  std::optional<DifferingSample> difference;  // none: both make the same batches
  std::uint64_t batches = 0;                  // then: the rolling hash behind them (RollBatches)
};

// Goes through the training batches of the steps behind `after_step` up to `step`, in order, up to
// the first difference. `batches` is the rolling hash of both behind `after_step`. Pictures are
// made by the code that trains, on all cores, on the CPU. Throws Error where they cannot be made:
// a dataset that is not where it was or is another one now, a recipe that this program does not
// know, a run that does not say its global batch.
BatchComparison CompareBatches(const RunRecord& a, const RunRecord& b, std::uint64_t after_step,
                               std::uint64_t step, std::uint64_t batches);

}  // namespace millrace::pipeline
