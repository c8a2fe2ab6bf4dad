// A profile as a trace for Perfetto (ui.perfetto.dev) and chrome://tracing: one track per worker
// and lane with every call of a stage, and counters of batches in flight and ready.
//
// The format is that of "Trace Event Format" (Google, 2016), in its JSON object form.
#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "pipeline/profile/graph_use.h"

namespace millrace::pipeline {

// Writes the calls that overlap the span, but at most `most_calls` from its beginning, so that a
// browser can open it. Throws Error naming the file.
void WriteChromeTrace(const std::filesystem::path& path, const std::vector<StageCall>& calls,
                      Span span, std::size_t most_calls = 250'000);

}  // namespace millrace::pipeline
