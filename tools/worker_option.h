// Which part of the work is ours when many machines share it: `--worker`.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "storage/sources/sample_source.h"

namespace millrace::tools {

// Looks an environment variable up; nullptr when it is not set.
using Environment = std::function<const char*(const char* name)>;

// "I/N": part I (from 0 on) of N. "auto": both from a Slurm array
// (SLURM_ARRAY_TASK_ID, _MIN and _COUNT), or else a Slurm job step (SLURM_PROCID, SLURM_NTASKS).
// "auto/N": the same, or the index of a Kubernetes indexed job (JOB_COMPLETION_INDEX), which does
// not say how many there are. Throws Error (usage) when the text is neither, a variable is missing
// or no number, or there is no such part.
storage::SourcePart ParseWorker(const std::string& text, const Environment& environment);

}  // namespace millrace::tools
