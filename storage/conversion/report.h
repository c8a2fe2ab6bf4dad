// report.json: what a conversion found in its sources and what it did about it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "storage/repairs.h"

namespace millrace::storage {

// A file that is not in the dataset, or not as it came.
struct ListedFile {
  std::string file;    // as the user finds it: a path, or "a.tar: n01440764.tar: x.JPEG"
  std::string fault;   // what was found: "a PNG image although it is named .JPEG"
  std::string action;  // what was done about it: "left out", "stored as an RGB PNG without loss"

  bool operator==(const ListedFile&) const = default;
};

struct ConversionReport {
  std::uint64_t files = 0;      // pictures in the sources
  std::uint64_t records = 0;    // pictures in the dataset
  std::uint64_t bytes_in = 0;   // of the sources' pictures
  std::uint64_t bytes_out = 0;  // of the shards
  RepairCounts repairs{};
  std::vector<ListedFile> bad = {};       // not in the dataset
  std::vector<ListedFile> changed = {};   // in it, but not as they came
  std::vector<std::string> ignored = {};  // no pictures, by their names
};

// Puts a split's report into `dataset`/report.json, beside those of other splits. Lists are sorted
// by file and cut off after 100,000 entries; `not_listed` then says how many are missing. Throws
// Error naming the file.
void WriteReport(const std::filesystem::path& dataset, const std::string& split,
                 ConversionReport report);

// `list` sorted by file, whatever the order in which threads found its entries.
void SortByFile(std::vector<ListedFile>* list);

}  // namespace millrace::storage
