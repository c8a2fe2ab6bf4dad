// Which remote tracker a run reports to, and its sink.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tracking/remote.h"

namespace millrace::tracking {

struct SystemChoice {
  std::string system;  // "none", "mlflow", "polyaxon" or "clearml"
  std::string why;     // a sentence for the log
};

// `wanted` is the recipe's tracking.system: "auto" is the first system whose environment variables
// are set or, for ClearML, whose configuration is there; others are what they say. Throws Error
// (exit code 2) when the environment does not lead to the system that is named, or is wrong.
SystemChoice ChooseSystem(const std::string& wanted);

// The environment's variable that names the one run of the system to report to; "" where none does.
std::string VariableOfTheRun(const std::string& system);

// What was changed in the system's pages about the run that it has started, as `--set` takes it:
// ClearML's agents start clones of tasks so, and CLEARML_TASK_ID says which. Waits up to a minute
// for a server that is away. Throws Error when it then cannot be had, for a run with other settings
// than those that somebody asked for is no use.
std::vector<std::string> SettingsFromSystem(const std::string& system);

// The sink for the system, with its journal below `run_folder`; null for "none". `tell` and
// `waits` as in Remote. Throws Error, with exit code 2 for what is wrong with the
// environment.
std::unique_ptr<Remote> MakeRemote(const std::string& system, const RunDescription& run,
                                   const std::filesystem::path& run_folder,
                                   std::function<void(const std::string&)> tell,
                                   const RemoteWaits& waits = {});

// Delivers what waits below `run_folder` for as long as that gets on; false: some of it is still
// there. Throws Error where nothing was ever to be delivered.
bool DeliverRest(const std::filesystem::path& run_folder,
                 const std::function<void(const std::string&)>& tell);

}  // namespace millrace::tracking
