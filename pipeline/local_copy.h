// A dataset's shards, copied in the background to a disk of this machine while a run trains, which
// reads each from there as soon as its copy is verified.
#pragma once

#include <filesystem>
#include <thread>

#include "pipeline/loader_stages.h"
#include "pipeline/recipe.h"
#include "tracking/run_log.h"

namespace millrace::pipeline {

// The copies of the splits that a run reads, as data.local_copy of its recipe asks for. What a run
// computes does not depend on them, and whatever happens to them ends no run: it is told once, and
// the run goes on from the dataset.
//
// Runs that name the same folder share the copies: one copies, the others read what is complete and
// take over when the one ends. One thread of its own, of low priority, whole shards
// are kept for the next run, which goes on with those that are missing.
class LocalCopy {
 public:
  // Nothing without data.local_copy. Checks the folder and touches nothing: throws Error (exit code
  // 2) when it lies inside the dataset or cannot be written. `loaders` outlives the object.
  LocalCopy(const Recipe& recipe, const std::filesystem::path& dataset,
            const LoaderStages& loaders);

  // Begins; returns at once. `log`, which outlives `loaders`, is told beginning, end, rate and what
  // goes wrong. Once for an object.
  void Start(tracking::RunLog& log);

  // Ends the copying after the piece of a few MiB under way, as the destructor does. Nothing is
  // told afterwards.
  void Stop();

 private:
  std::filesystem::path dataset_;
  const LoaderStages& loaders_;
  std::filesystem::path folder_;  // empty: no copies
  std::jthread thread_;           // the last member, because it uses the others
};

}  // namespace millrace::pipeline
