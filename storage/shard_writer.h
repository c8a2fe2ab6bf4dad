// Writes one shard: a single-file LMDB environment that appears under its name only when it is
// complete. FORMAT.md, "Shard".
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "base/file.h"
#include "storage/lmdb_writer.h"

namespace millrace::storage {

// What the manifest says about a shard.
struct ShardFacts {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;  // of the file
  std::uint64_t hash = 0;   // XXH3-64 of the file

  bool operator==(const ShardFacts&) const = default;
};

// A shard under construction, in "<path>.tmp". The finished file's bytes are a pure function of the
// records. Without Finish() the destructor removes the temporary file and whatever stood under
// `path` stays. One call at a time, from any thread. Every failure (full disk, permissions) throws
// an Error that names the file; after one, only the destructor may follow.
class ShardWriter {
 public:
  explicit ShardWriter(const std::filesystem::path& path)
      : path_(path), file_(path), pages_(&file_) {}

  // Adds a record under the next key.
  void Append(std::span<const std::byte> record) { pages_.Append(record); }

  // Completes, syncs and renames: after this the shard survives a power cut. REQUIRES: called once
  ShardFacts Finish();

 private:
  const std::filesystem::path path_;
  AtomicFile file_;
  LmdbWriter pages_;
};

}  // namespace millrace::storage
