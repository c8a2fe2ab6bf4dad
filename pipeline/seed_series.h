// One recipe trained with several seeds, one run after another, and how far their accuracies lie
// apart.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/spread.h"
#include "pipeline/recipe.h"
#include "pipeline/trainer.h"

namespace millrace::pipeline {

struct SeedRun {
  enum class State : std::uint8_t { kWaiting, kStopped, kFinished };
  struct Accuracy {
    double top1 = 0;
    double top5 = 0;
  };

  std::uint64_t seed = 0;
  std::filesystem::path folder = {};  // of an ordinary run
  State state = State::kWaiting;
  std::uint64_t step = 0;  // global steps done
  std::uint64_t total_steps = 0;
  std::optional<Accuracy> best =
      {};  // the evaluation with the highest top-1; none without [data.val]
  std::optional<Accuracy> last = {};
  double seconds = 0;  // of all commands that worked on it
};

struct SeedSeries {
  std::vector<SeedRun> runs;
  ExitCode exit_code = ExitCode::kDone;  // or kInterrupted
};

// A number of each run, and its spread over those that are finished.
struct SeedColumn {
  const char* name;  // "best_top1"
  std::optional<double> (*of)(const SeedRun& run);
};
std::span<const SeedColumn> SeedColumns();
// Nothing while no run that is finished has such a number.
std::optional<Spread> SpreadOf(const SeedSeries& series, const SeedColumn& column);

// The series as a JSON object, which is what seeds.json holds.
std::string ToJson(const SeedSeries& series);

struct SeedSeriesOptions {
  std::filesystem::path out;  // each run's folder is seed-N in it
  std::vector<std::uint64_t> seeds;
  bool resume = false;  // goes on with a run that was stopped; otherwise that is an error
  bool keeps = true;    // writes seeds.json and reads what runs have left: in process 0 alone
  std::function<Recipe(std::uint64_t seed)> load;
  // Trains the run in its folder; `resume`: goes on there, if there is something.
  std::function<TrainResult(const SeedRun& run, bool resume)> train;
};

// Trains all seeds in turn, each to its end, and keeps seeds.json up to date. Runs that
// it says are finished are asked to go on, in which they find nothing to do. Ends at the first
// interruption or failure. Of several processes each calls it, with the same seeds.
// Throws Error, what a run throws with its seed before it, and before anything is trained where a
// folder has a run of another recipe, for then the runs would have more than their seeds to differ
// by.
SeedSeries TrainSeeds(const SeedSeriesOptions& options);

}  // namespace millrace::pipeline
