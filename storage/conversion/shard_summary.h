// What a conversion leaves beside a finished shard, so that an interrupted one goes on without it:
// FORMAT.md, "Conversion".
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "storage/conversion/report.h"
#include "storage/shard_writer.h"

namespace millrace::storage {

// What enters a split's fingerprint about a record.
struct RecordFacts {
  std::uint32_t label = 0;
  std::uint64_t payload_hash = 0;

  bool operator==(const RecordFacts&) const = default;
};

// A finished shard, as its conversion saw it.
struct ShardSummary {
  std::uint64_t plan = 0;  // hash of the conversion's plan; another plan's shard is of no use
  ShardFacts facts;
  std::vector<RecordFacts> records;  // by key
  RepairCounts repairs;              // of these records
  std::vector<ListedFile> changed;   // those that the report lists

  bool operator==(const ShardSummary&) const = default;
};

// "<shard>.done.json".
std::filesystem::path SummaryPath(const std::filesystem::path& shard);

// Throws Error naming the file.
void WriteSummary(const std::filesystem::path& shard, const ShardSummary& summary);

// The summary of the shard, or nothing when there is none that can be used.
std::optional<ShardSummary> ReadSummary(const std::filesystem::path& shard);

}  // namespace millrace::storage
