// How verbs show what pipeline/compare_runs.h found.
#pragma once

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "pipeline/compare_runs.h"

namespace millrace::tools {

nlohmann::ordered_json ToJson(const pipeline::RunComparison& comparison);

// On stdout: settings and environment that differ, a line each, and the answer.
void Print(const pipeline::RunComparison& comparison);

inline ExitCode ExitCodeOf(const pipeline::RunComparison& comparison) {
  return comparison.same() ? ExitCode::kDone : ExitCode::kFailed;
}

}  // namespace millrace::tools
