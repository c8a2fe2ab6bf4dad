// The trainer: a recipe and a dataset in, a run's folder out. Trains, evaluates, checkpoints,
// resumes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/classification_counts.h"
#include "model/other_labels.h"
#include "model/store.h"
#include "pipeline/devices.h"
#include "pipeline/placement.h"
#include "pipeline/recipe.h"
#include "pipeline/stage_stats.h"
#include "tracking/run_log.h"

namespace millrace::pipeline {

struct TrainOptions {
  std::filesystem::path dataset;
  std::filesystem::path out;  // the run's folder
  Devices devices;            // of this process
  Placement placement = {};
  const model::Store* store = nullptr;  // OpenStore()'s; nullptr: one of this run's own
  // Where to go on: a checkpoint, or the newest valid one of `out` (`resume_newest`; none there: a
  // fresh start).
  std::optional<std::filesystem::path> resume;
  bool resume_newest = false;
  std::string command = {};             // as in tracking::RunDescription
  std::vector<std::string> notes = {};  // lines for the log's beginning
  // Set from outside (a signal): the run ends after the step under way, with a checkpoint.
  const std::atomic<bool>* interrupt = nullptr;
  // The run ends behind this step, counted from 1, as if it had been interrupted there; 0: never.
  std::uint64_t stop_after_step = 0;
};

// What became of a training run.
struct TrainResult {
  ExitCode exit_code = ExitCode::kDone;  // kDone or kInterrupted
  std::uint64_t step = 0;                // global steps done
  std::uint64_t total_steps = 0;
  std::filesystem::path checkpoint;  // the last one
  std::optional<double> top1;        // of the last evaluation
  std::optional<double> best_top1;
  double images_per_s = 0;           // of this process's training, evaluation and start-up left out
  double data_wait_share = 0;        // share of the training time in which lanes waited for data
  std::uint64_t resident_bytes = 0;  // at the end
  std::array<StageFigures, kNumStages> stages;
};

// Runs the recipe to its end, an interruption or a failure. Everything that could be wrong with
// recipe, data, folder and checkpoint is checked before the first step. Of several processes the
// first alone writes into the folder and to `log`. Throws Error, the first failure of any process;
// the run's folder then holds whatever checkpoints were written before.
TrainResult Train(const Recipe& recipe, const TrainOptions& options, tracking::RunLog& log);

struct EvaluateOptions {
  std::filesystem::path dataset;
  std::filesystem::path weights;      // exported weights or a checkpoint
  std::filesystem::path labels = {};  // a file of other labels (label_file.h); empty: none
  Devices devices;                    // of this process
  Placement placement = {};
  const std::atomic<bool>* interrupt = nullptr;
};

struct EvaluateResult {
  model::ClassificationCounts counts;
  std::optional<model::OtherLabelCounts> by_other_labels;  // where EvaluateOptions::labels are
  std::vector<std::pair<std::string, double>> metrics;     // the recipe's, by name
};

// Evaluates weights on the recipe's validation loader: every sample exactly once. Of several
// processes the first returns what all found, the others nothing. Throws Error, the first failure
// of any process.
std::optional<EvaluateResult> Evaluate(const Recipe& recipe, const EvaluateOptions& options,
                                       tracking::RunLog& log);

// Makes every component of the recipe as far as that is possible without data, and throws Error
// (exit code 2) for whatever is wrong with it or not read by anything.
void CheckRecipe(const Recipe& recipe);

}  // namespace millrace::pipeline
