// A run that no server is told of, for `polyaxon ops push`.
#pragma once

#include <span>
#include <string>

#include "tracking/polyaxon_files.h"
#include "tracking/polyaxon_settings.h"
#include "tracking/remote.h"
#include "tracking/remote_event.h"

namespace millrace::tracking {

// Brings run.plx.json and lineages.plx.json in the files' folder up to date, by events whose files
// are written. Events that come again change nothing. Throws Error naming the file that cannot be
// read or written.
void WriteOffline(const PolyaxonSettings& settings, const RunDescription& run,
                  const std::string& uuid, const PolyaxonFiles& files,
                  std::span<const RemoteEvent> events);

}  // namespace millrace::tracking
