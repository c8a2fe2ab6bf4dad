// From an evaluation's result to what evaluation.json says of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "model/evaluation_result.h"
#include "pipeline/evaluation_record.h"
#include "pipeline/loader_stages.h"

namespace millrace::pipeline {

// So many mistakes are kept, the most frequent: all of them where there are few classes.
inline constexpr std::size_t kMostMistakes = 5000;

// `result` is that of all ranks on the validation split, called `split`, after `step` global steps.
// REQUIRES: `loaders` have that split
EvaluationRecord RecordEvaluation(const model::EvaluationResult& result,
                                  const LoaderStages& loaders, const std::string& split,
                                  std::uint64_t step, std::uint32_t epoch);

}  // namespace millrace::pipeline
