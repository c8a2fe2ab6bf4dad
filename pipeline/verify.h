// Reads a whole dataset again and lists everything that is not as it should be: the `verify` verb.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace millrace::pipeline {

struct VerifyOptions {
  std::filesystem::path dataset;
  bool quick = false;                       // structure and hashes, without decoding pictures
  int jobs = 0;                             // threads; 0: one per core
  const std::atomic<bool>* stop = nullptr;  // set to end early
};

struct VerifyProgress {
  std::uint64_t records = 0;  // checked, or given up with their shard
  std::uint64_t total_records = 0;
};

struct Problem {
  std::string where;  // "train-00003-of-00008.lmdb, key 17", a shard's file or a split
  std::string what;

  bool operator==(const Problem&) const = default;
};

struct VerifyReport {
  bool stopped = false;  // ended early: what was not reached is not known
  std::uint64_t splits = 0;
  std::uint64_t shards = 0;
  std::uint64_t records = 0;      // that were read
  std::uint64_t bytes = 0;        // of the shards' files
  std::vector<Problem> problems;  // by split, shard and key

  bool ok() const { return problems.empty() && !stopped; }
};

// Checks every shard's presence, size, file hash and structure, every record's structure, hashes,
// label and region index, that its picture decodes and is the one that its header describes, and
// every split's fingerprint. Damage is a problem in the report. Throws Error when there is no
// manifest to check against or it cannot be used. `progress` is called now and then, from one
// thread at a time. Memory: 16 bytes per record.
VerifyReport Verify(const VerifyOptions& options,
                    const std::function<void(const VerifyProgress&)>& progress = {});

}  // namespace millrace::pipeline
