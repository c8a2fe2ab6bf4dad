// Which remote tracker a run reports to, and its sink.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "tracking/remote.h"

namespace millrace::tracking {

struct SystemChoice {
  std::string system;  // "none", "mlflow" or "polyaxon"
  std::string why;     // a sentence for the log
};

// `wanted` is the recipe's tracking.system: a system and "none" are what they say, "auto" is the
// first system whose environment variables are set. Throws Error (exit code 2) when the environment
// does not lead to the system that is named, or is wrong.
SystemChoice ChooseSystem(const std::string& wanted);

// The sink for the system, with its journal below `run_folder`; null for "none". `tell` as in
// Remote. Throws Error, with exit code 2 for what is wrong with the environment.
std::unique_ptr<Remote> MakeRemote(const std::string& system, const RunDescription& run,
                                   const std::filesystem::path& run_folder,
                                   std::function<void(const std::string&)> tell);

// Delivers what waits below `run_folder` for as long as that gets on; false: some of it is still
// there. Throws Error where nothing was ever to be delivered.
bool DeliverRest(const std::filesystem::path& run_folder,
                 const std::function<void(const std::string&)>& tell);

}  // namespace millrace::tracking
