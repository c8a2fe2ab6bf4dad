// report.html: a run on one page, from what its folder holds.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/evaluation_record.h"
#include "pipeline/report/sample_pictures.h"
#include "pipeline/run_record.h"
#include "pipeline/run_status.h"

namespace millrace::pipeline {

// All that the page shows.
struct RunReport {
  RunRecord run;
  std::vector<RunLine> timings;
  std::optional<RunStatus> status;             // nothing: a run of an earlier version
  bool killed = false;                         // the status says it runs, but nobody does
  std::int64_t worked_s = 0;                   // with the part under way
  std::optional<EvaluationRecord> evaluation;  // the last one
  std::string evaluation_fault;                // why there is none
  SamplePictures pictures;                     // of its samples
};

// Reads `folder`, and makes the pictures from the dataset where that is still there. Throws Error
// naming the file where the folder is not a run's.
RunReport GatherRunReport(const std::filesystem::path& folder);

struct WrittenReport {
  std::size_t bytes = 0;
  std::size_t pictures = 0;
};

// Gathers, and writes the page to `file`, atomically. Throws Error.
WrittenReport WriteRunReport(const std::filesystem::path& folder,
                             const std::filesystem::path& file);

}  // namespace millrace::pipeline
