// The first half of a conversion: reads a part of the sources in sequence, converts its pictures in
// parallel and keeps them in spools.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/convert.h"
#include "storage/conversion/part_summary.h"

namespace millrace::pipeline {

struct PartWork {
  std::vector<std::unique_ptr<storage::SampleSource>> sources;
  std::filesystem::path folder;  // of the part; locked by the caller
  std::uint64_t plan = 0;
  storage::ConversionInfo settings;
  std::vector<std::string> known_classes;  // sorted; a picture of another class ends the
                                           // conversion. Empty: any class
  std::string known_from;                  // the manifest that says so, for messages
};

// Takes up what an earlier run with the same plan has left in the folder, or clears it, and
// converts the rest. Returns the part's summary once it is on disk, or nothing when
// `options.stop` ended it early. `kept`: becomes the number of pictures taken up.
std::optional<storage::PartSummary> ConvertPart(const ConvertOptions& options, PartWork work,
                                                const ConvertCallback& progress,
                                                std::uint64_t* kept);

}  // namespace millrace::pipeline
