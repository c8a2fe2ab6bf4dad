// What a conversion leaves beside the shards: a summary of each finished one, by which an
// interrupted conversion goes on, and report.json. FORMAT.md, "Conversion".
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "storage/shard_writer.h"

namespace millrace::storage {

// A file that could not be used.
struct BadFile {
  std::string file;   // as the user names it: source folder and path
  std::string fault;  // "a PNG image although it is named .JPEG"

  bool operator==(const BadFile&) const = default;
};

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
  std::vector<BadFile> left_out;

  bool operator==(const ShardSummary&) const = default;
};

// "<shard>.done.json".
std::filesystem::path SummaryPath(const std::filesystem::path& shard);

// Throws Error naming the file.
void WriteSummary(const std::filesystem::path& shard, const ShardSummary& summary);

// The summary of the shard, or nothing when there is none that can be used.
std::optional<ShardSummary> ReadSummary(const std::filesystem::path& shard);

// Puts a split's entry into `dataset`/report.json, beside those of other splits. `action` is what
// was done with each file of `bad`: "left out" or "refused". Throws Error naming the file.
void WriteReport(const std::filesystem::path& dataset, const std::string& split,
                 const std::vector<BadFile>& bad, const std::string& action,
                 const std::vector<std::string>& ignored);

}  // namespace millrace::storage
