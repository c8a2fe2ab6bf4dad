// How `train --seeds` says which seeds, and shows what became of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/seed_series.h"

namespace millrace::tools {

// "0,1,5": these; "3": so many, from `first` on. Throws Error (exit code 2).
std::vector<std::uint64_t> ParseSeeds(const std::string& text, std::uint64_t first);

// A line for each run, and the spread over those that are finished.
void Print(const pipeline::SeedSeries& series);

}  // namespace millrace::tools
