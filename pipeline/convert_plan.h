// What decides the outcome of a conversion, as hashes: whether an earlier run's work can be used.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/convert.h"
#include "storage/manifest.h"

namespace millrace::pipeline {

// Throws Error (usage) for options that make no sense.
void CheckOptions(const ConvertOptions& options);
void CheckTarget(const std::string& split, std::uint32_t shards, int jobs);

// Opens all sources. Throws what storage::OpenSource() throws.
std::vector<std::unique_ptr<storage::SampleSource>> OpenSources(const ConvertOptions& options);

// The classes of all sources, sorted, where they are known before pictures are read; else empty.
std::vector<std::string> KnownClasses(
    const std::vector<std::unique_ptr<storage::SampleSource>>& sources);

// What the manifest notes of the options: seed, on_bad and the variant, "re-packed with region
// index", "as it came", "shorter side 256, quality 90; ...".
storage::ConversionInfo DescribeSettings(const ConvertOptions& options);

// Hash of what decides the converted pictures: sources and options, but neither parts nor shards.
std::uint64_t HashPicturePlan(const ConvertOptions& options,
                              const std::vector<std::unique_ptr<storage::SampleSource>>& sources);

// Hash of what decides the shards: the pictures and how many shards were asked for.
std::uint64_t HashShardPlan(std::uint64_t picture_plan, const std::string& split,
                            std::uint32_t shards);

}  // namespace millrace::pipeline
