#include "pipeline/export.h"

#include "base/error.h"
#include "base/hash.h"
#include "model/checkpoint.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/safetensors.h"
#include "model/weights.h"
#include "pipeline/progress_state.h"
#include "pipeline/run_folder.h"
#include "storage/manifest.h"

namespace millrace::pipeline {

std::filesystem::path ExportWeights(const std::filesystem::path& from,
                                    const std::filesystem::path& to) {
  if (std::filesystem::is_directory(from)) {
    const RunFolder folder{from};
    model::CheckpointSearch search = model::FindNewestCheckpoint(folder.checkpoints());
    if (!search.newest) {
      Fail("there is no {}checkpoint in {}{}", search.skipped.empty() ? "" : "usable ",
           folder.checkpoints().string(),
           search.skipped.empty() ? "" : ": " + search.skipped.front());
    }
    model::WriteSafetensors(to, search.newest->checkpoint.evaluated(), {{"format", "pt"}});
    return search.newest->path;
  }
  model::WriteSafetensors(to, model::ReadWeights(from).tensors, {{"format", "pt"}});
  return from;
}

void ImportWeights(const std::filesystem::path& from, const Recipe& recipe,
                   const std::filesystem::path& dataset, const std::filesystem::path& to) {
  const storage::Manifest manifest = storage::ReadManifest(dataset);
  const auto network = model::MakeNetwork(recipe.params.Section("model"),
                                          static_cast<std::int64_t>(manifest.classes.size()),
                                          recipe.seed, recipe.known->model);
  const auto optimizer = model::MakeOptimizer(recipe.params.Section("optimizer"),
                                              network->parameters(), recipe.known->model);
  model::LoadWeights(*network, from);
  ProgressState state;
  state.identity = {.dataset_fingerprint = HashToHex(manifest.fingerprint),
                    .model = network->name(),
                    .classes = manifest.classes.size(),
                    .seed = recipe.seed};
  state.config = recipe.ToToml();
  model::WriteCheckpoint(to, {.weights = network->state(),
                              .optimizer = optimizer->StateTensors(),
                              .metadata = state.ToMetadata()});
}

}  // namespace millrace::pipeline
