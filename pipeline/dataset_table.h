// The summary of a dataset as text for a terminal and as JSON for other programs.
#pragma once

#include <string>

#include "pipeline/dataset_summary.h"

namespace millrace::pipeline {

// Lines for a terminal. Of many classes only the smallest and largest are listed unless
// `all_classes` is set.
std::string SummaryTable(const DatasetSummary& summary, bool all_classes);

// One JSON object with the same figures and all classes.
std::string SummaryJson(const DatasetSummary& summary);

}  // namespace millrace::pipeline
