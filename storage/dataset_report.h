// report.json read back: what the conversions of a dataset left out, changed or passed over.
// FORMAT.md, "Conversion".
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/conversion/report.h"

namespace millrace::storage {

// A list that may be as long as the source: how long it is, and how it begins.
struct ReportedFiles {
  std::uint64_t total = 0;
  std::vector<ListedFile> first;

  bool operator==(const ReportedFiles&) const = default;
};

// What the report says of one split. Conversions of earlier versions tell less.
struct SplitReport {
  std::optional<std::uint64_t> files;      // pictures in the source
  std::optional<std::uint64_t> bytes_in;   // [bytes] of them
  std::optional<std::uint64_t> bytes_out;  // [bytes] of what was made of them
  ReportedFiles bad;                       // could not be used
  ReportedFiles changed;                   // were not stored as they came
  ReportedFiles ignored;                   // are no pictures

  bool operator==(const SplitReport&) const = default;
};

// By split; empty when the dataset has no report.
using DatasetReport = std::map<std::string, SplitReport>;

// Of each list the first `most_listed` files. Keys that are missing, unknown or of another kind are
// passed over: nothing depends on a report. Fault: the file cannot be read or is not JSON. Memory:
// what is kept.
Result<DatasetReport> ReadDatasetReport(const std::filesystem::path& dataset,
                                        std::size_t most_listed);

}  // namespace millrace::storage
