// A ClearML task as JSON: what a run is described by, and which settings a clone of it has changed.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tracking/clearml_target.h"

namespace millrace::tracking {

// "name", "type", "tags" and "script" of the run's task. The script is the run's command, so that
// an agent that is given a clone starts the same run.
nlohmann::ordered_json ClearmlTask(const ClearmlRun& run);

// A task keeps what its recipe set at first as a "configuration_item" called "recipe": an object of
// the settings' texts, which clones have, too. It stays as it is when a setting is changed in
// ClearML's pages, so that the difference is what somebody wanted changed, of however many clones
// of clones. Functions take and return that object's text; "" is none.
std::string ClearmlSettingsAtFirst(const nlohmann::ordered_json& task);
// With those of `parameters` (a list of "params_item") that were not in it.
std::string ClearmlWithNewSettings(const std::string& at_first,
                                   const nlohmann::ordered_json& parameters);
nlohmann::ordered_json ClearmlRecipeItem(const std::string& at_first);

// Settings of the section "General" that differ from those at first, or all of them where the task
// has none, as `--set` takes them ("optimizer.lr=0.2").
std::vector<std::string> ClearmlChangedSettings(const nlohmann::ordered_json& task);

}  // namespace millrace::tracking
