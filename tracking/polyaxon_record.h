// What Polyaxon keeps of a run beside its files, in the JSON of its interface.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tracking/event.h"
#include "tracking/polyaxon_files.h"
#include "tracking/remote.h"

namespace millrace::tracking {

// A new run, of which nothing is known but what we are told of it.
nlohmann::ordered_json PolyaxonRun(const RunDescription& run, const std::string& uuid,
                                   std::int64_t time_ms);

// Settings, called as in the recipe: the run's inputs.
nlohmann::ordered_json PolyaxonInputs(const Parameters& parameters);

// The last value of each metric: the run's outputs, by which tables compare runs.
nlohmann::ordered_json PolyaxonOutputs(const PolyaxonFiles& files);

// Whether there are metrics, events and models.
nlohmann::ordered_json PolyaxonMeta(const PolyaxonFiles& files);

// How the run stands: an entry of its statuses.
nlohmann::ordered_json PolyaxonCondition(const Status& status, std::int64_t time_ms);

// A file's entry in the lineage: without it the file is not on the run's pages.
nlohmann::ordered_json PolyaxonLineage(const std::string& path, const PolyaxonFiles::File& file);

// The dataset's entry.
nlohmann::ordered_json PolyaxonDataset(const RunDescription& run);

}  // namespace millrace::tracking
