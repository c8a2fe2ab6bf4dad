// The options that every verb with a recipe has.
#pragma once

#include <CLI/CLI.hpp>

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "pipeline/recipe.h"

namespace millrace::tools {

inline constexpr const char* kDevicesHelp =
    "cpu, cpu:N for N lanes, cuda:all, or GPUs by their numbers as in cuda:0,2; auto: all GPUs "
    "that "
    "there are, otherwise the CPU";

struct RecipeOptions {
  std::string config;
  std::vector<std::string> overrides;
  std::string data;

  void AddTo(CLI::App& command) {
    command.add_option("CONFIG", config, "the recipe, a TOML file (see configs/)")->required();
    command
        .add_option("--set", overrides, "section.key=value; wins over the recipe; may be repeated")
        ->allow_extra_args(false);
    command.add_option("--data", data, "the converted dataset; wins over data.path of the recipe");
  }

  pipeline::Recipe Load() const { return pipeline::Recipe::Load(config, overrides); }

  std::filesystem::path Dataset(const pipeline::Recipe& recipe) const {
    const std::string path = data.empty() ? recipe.data_path : data;
    if (path.empty()) FailUsage("no dataset: give --data DIR or data.path in {}", config);
    return path;
  }
};

}  // namespace millrace::tools
