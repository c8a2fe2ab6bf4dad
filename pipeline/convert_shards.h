// The second half of a conversion: deals the pictures of all parts to shards and writes these.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/convert.h"
#include "storage/conversion/part_summary.h"
#include "storage/conversion/shard_summary.h"

namespace millrace::pipeline {

struct CompletePart {
  std::filesystem::path folder;
  storage::PartSummary summary;
};

struct ShardWork {
  std::filesystem::path to;  // the dataset folder; locked by the caller
  std::string split;
  std::vector<CompletePart> parts;
  std::vector<std::string> class_ids;  // sorted; the position is the label
  std::uint64_t plan = 0;              // hash of what decides the shards
  std::uint64_t shards = 1;            // at most as many as there are records
  int jobs = 0;                        // threads; 0: one per core
  const std::atomic<bool>* stop = nullptr;
};

struct MadeShards {
  std::vector<storage::ShardSummary> summaries;  // of all shards, unless it was stopped
  std::uint64_t kept = 0;                        // finished by an earlier run
  bool stopped = false;
};

// Whether the spools that the missing shards are made from are there. They are not after a run that
// dealt the same pictures to another number of shards was interrupted.
bool HasSpoolsForShards(const ShardWork& work);

// Keeps shards that an earlier run with the same plan has finished, removes others of the split,
// and makes the missing ones, in parallel. Each spool goes when all its pictures are in shards that
// are complete. Throws Error naming the file: a full disk, a spool that is missing or damaged.
MadeShards MakeShards(const ShardWork& work, const ConvertCallback& progress);

// Removes what conversions of the split have left beside its shards: summaries and temporary files.
void RemoveLeftovers(const std::filesystem::path& to, const std::string& split);

// The number of shards of a split: `wanted`, or one per 256 MiB. Throws Error (usage) when there
// are fewer records than shards.
std::uint64_t ChooseShards(std::uint32_t wanted, std::uint64_t records, std::uint64_t record_bytes);

}  // namespace millrace::pipeline
