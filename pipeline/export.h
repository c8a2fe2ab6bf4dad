// Weights out of a run, and weights from elsewhere into a run.
#pragma once

#include <filesystem>

#include "pipeline/recipe.h"

namespace millrace::pipeline {

// Writes the weights of `from` under torchvision's names, so that `load_state_dict(load_file(to),
// strict=True)` takes them. `from` is a run's folder (its newest checkpoint), a checkpoint, or
// weights (model::ReadWeights). Returns the file they came from. Throws Error; `to` is then as it
// was.
std::filesystem::path ExportWeights(const std::filesystem::path& from,
                                    const std::filesystem::path& to);

// The way back: writes a checkpoint at step 0 of `recipe` on `dataset` with the weights of `from`,
// from which `train --resume` starts. Throws Error when the weights do not fit the recipe's model
// or the dataset's classes.
void ImportWeights(const std::filesystem::path& from, const Recipe& recipe,
                   const std::filesystem::path& dataset, const std::filesystem::path& to);

}  // namespace millrace::pipeline
