// A recipe: the TOML file that describes data, model, optimizer, loss and schedule of a run, read
// strictly.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/params.h"
#include "pipeline/components.h"
#include "pipeline/plugins.h"
#include "pipeline/progressive.h"
#include "pipeline/sample_order.h"
#include "stages/batch.h"
#include "stages/decode.h"
#include "stages/decode_scale.h"

namespace millrace::pipeline {

// One loader: which split, in which order, through which operations.
struct LoaderRecipe {
  std::string split;
  Shuffle shuffle = Shuffle::kNone;
  std::uint64_t limit = 0;                 // so many samples, chosen by the recipe's seed; 0: all
  std::vector<Params> ops;                 // read by stages::Transform
  std::vector<Params> mix;                 // read by stages::Mixing
  std::uint32_t repeats = 1;               // copies of each sample in a global batch
  std::optional<Progressive> progressive;  // nothing: all pictures have the size that ops give
  Params section;  // its own, to blame settings that the dataset contradicts
};

// A setting that two recipes give otherwise, with its values as TOML, or "not set".
struct DifferingSetting {
  std::string key;  // "optimizer.lr"
  std::string before;
  std::string now;

  std::string Text() const;  // "optimizer.lr: 0.1 before, 0.05 now"
};

// What two recipes as they took effect (Recipe::ToToml) say differently, by key. Throws Error when
// one of them is not TOML.
std::vector<DifferingSetting> DifferingSettings(const std::string& before, const std::string& now);

// Whether a setting names files (plugins, models) whose hashes the environment tells: where they
// lie tells no runs apart.
bool NamesHashedFiles(std::string_view setting);

// Everything that a recipe says. Sections that name a component (model, loss, optimizer, schedule,
// operations) are read by that component from its Params.
struct Recipe {
  // Reads `path` with all files it extends, applies `overrides` ("section.key=value", values as in
  // TOML; a bare word is taken as a text), loads its plugins and checks the sections that belong to
  // the pipeline. Paths of files are relative to the file that names them, those of overrides to
  // the working directory. Throws Error (exit code 2) naming file and key.
  static Recipe Load(const std::filesystem::path& path, const std::vector<std::string>& overrides);

  // The settings as they took effect, defaults included, as TOML. Complete once every component has
  // read its section.
  std::string ToToml() const;

  // Throws Error (exit code 2) for keys that no component has read. Call it when all components are
  // made.
  void RefuseUnknown() const { params.RefuseUnknown(); }

  Params params;

  std::vector<Plugin> plugins;
  // What its sections may name.
  std::shared_ptr<const Components> known = BuiltInComponents();

  std::string name;
  std::uint64_t seed = 0;
  bool deterministic = false;

  std::string data_path;        // "" when the recipe names none
  std::string local_copy;       // folder for copies of the shards; "" for none
  std::array<float, 3> mean{};  // of RGB, on the scale 0..1 (normalize)
  std::array<float, 3> std{};
  stages::DecodeMode decode_mode = stages::DecodeMode::kExact;
  stages::DecodeEngine decode_engine = stages::DecodeEngine::kAuto;
  stages::DecodeDevice decode_device = stages::DecodeDevice::kCpu;
  LoaderRecipe train;
  std::optional<LoaderRecipe> train_eval;  // only beside `val`
  std::optional<LoaderRecipe> val;
  // The loader that makes batches of this phase; nullptr: the recipe has none.
  const LoaderRecipe* LoaderOf(stages::Phase phase) const;

  std::uint32_t per_device =
      0;  // training batch of one device [samples]; 0: follows from `global_batch`
  std::uint32_t global_batch = 0;         // [samples]; 0: per_device x devices
  std::uint32_t evaluate_per_device = 0;  // [samples]; 0: as in training
  std::uint32_t reference_batch =
      0;  // global batch for which the learning rate is given [samples]; 0: no scaling

  std::uint32_t epochs = 0;
  std::uint64_t max_steps = 0;              // 0: no limit
  std::uint32_t validate_every_epochs = 1;  // 0: only at the end
  bool start_by_validation = false;         // evaluates the initial weights, too
  std::uint32_t patience = 0;  // ends behind so many validations without a better top-1; 0: never
  std::uint32_t stall_timeout_s = 600;  // a device that others wait for so long ends the run
  std::uint32_t log_every_steps = 10;
  bool cuda_graph = true;  // GPUs may record the train step and replay it

  std::uint64_t checkpoint_every_steps = 0;  // 0: only at the end and when interrupted
  std::uint32_t checkpoint_keep = 1;
  std::uint32_t checkpoint_best = 1;

  std::uint32_t workers = 0;                // threads of the sample stages; 0: auto
  std::uint32_t num_slots = 0;              // 0: auto
  std::uint32_t cpu_budget = 0;             // cores that workers may use; 0: all
  std::optional<std::uint32_t> read_ahead;  // [batches] beyond those in flight; nothing: auto

  std::string tracking_system;  // as tracking::ChooseSystem takes it
  std::vector<Params> sinks;    // of plugins, read by MakeSinks()
  std::uint32_t pictures = 0;   // of each kind and evaluation; 0: none
  bool histograms = false;      // of weights and gradients, with each evaluation
};

}  // namespace millrace::pipeline
