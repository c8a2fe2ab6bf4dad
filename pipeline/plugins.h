// The plugins of a recipe: which files they are, and their components.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "pipeline/components.h"

namespace millrace::pipeline {

// A plugin's file as it is.
struct Plugin {
  std::filesystem::path file;
  std::string sha256;  // hexadecimal

  // "libmy_ops.so 5e88...": the same wherever it lies.
  std::string Text() const;
};

// Reads the recipe's list `plugins`, whose entries are paths or { file, sha256 }, and makes each
// the latter. `where` stands before the entries' numbers in messages ("recipe.toml: plugins").
// Throws Error (exit code 2) for another kind of entry, a file that is not there, and one whose
// hash is not the entry's.
std::vector<Plugin> PinPlugins(nlohmann::json* list, const std::string& where);

// The program's components and those of the plugins, which stay loaded until the process ends.
// Nothing in a file runs before the file has said that it was built for this program. `where` as
// above. Throws Error (exit code 2) for a file that is no plugin, was built for another program,
// cannot be loaded, or adds a name that there is already.
std::shared_ptr<const Components> LoadPlugins(const std::vector<Plugin>& plugins,
                                              const std::string& where);

}  // namespace millrace::pipeline
