// What a dataset holds, in figures and in samples worth a look: what the `inspect` verb tells, as a
// table, as JSON and as a page.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "pipeline/sample_choice.h"
#include "storage/dataset_report.h"
#include "storage/manifest.h"
#include "storage/split_reader.h"
#include "storage/statistics.h"

namespace millrace::pipeline {

struct SplitSummary {
  std::string name;
  storage::SplitReader reader;
  storage::Statistics statistics;
  SampleChoice choice;
  storage::SplitReport report;  // empty where there is none

  const storage::SplitInfo& info() const { return reader.split(); }
};

struct DatasetSummary {
  std::filesystem::path folder;
  storage::Manifest manifest;
  std::string report_fault;          // why report.json is of no use; mostly empty
  std::vector<SplitSummary> splits;  // by name
};

// So many files of each list of report.json are kept.
inline constexpr std::size_t kMostListed = 200;

// One pass over the headers of every record. Memory: 24 bytes per record of the largest split.
// Throws Error naming file or key when the manifest cannot be used or a header is damaged.
DatasetSummary SummarizeDataset(const std::filesystem::path& folder);

// "tench (n01440764)", or only the id when there is no better name. Any bytes.
std::string ClassLabel(const storage::ClassInfo& info);

}  // namespace millrace::pipeline
