// Profiles a recipe on its dataset: opens what training would open and measures its graph.
#pragma once

#include <filesystem>

#include "pipeline/profile/report.h"
#include "pipeline/recipe.h"
#include "pipeline/trainer.h"
#include "tracking/run_log.h"

namespace millrace::pipeline {

struct ProfileOptions {
  std::filesystem::path dataset;
  Devices devices;
  ProfiledStep step = ProfiledStep::kNone;
  double emulated_step_ms = 0;  // [ms] of each batch, with kEmulated
  double seconds = 10;          // of each measurement
};

// Nothing is written, and the weights that a real train step changes are those of a network of its
// own. Throws Error for whatever is wrong with recipe or data.
ProfileReport ProfileRecipe(const Recipe& recipe, const ProfileOptions& options,
                            tracking::RunLog& log);

}  // namespace millrace::pipeline
