// Writes one shard: a single-file LMDB environment that appears under its name only when it is
// complete. FORMAT.md, "Shard".
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace millrace::storage {

// What the manifest says about a shard.
struct ShardFacts {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;  // of the file
  std::uint64_t hash = 0;   // XXH3-64 of the file

  bool operator==(const ShardFacts&) const = default;
};

// A shard under construction, in two temporary files beside `path` ("<path>.build.tmp" and
// "<path>.tmp"). The finished file's bytes are a pure function of the records and the machine's
// page size. Without Finish() the destructor removes the temporary files and whatever stood under
// `path` stays. Memory is bounded by 16 MiB or the largest record; during Finish() the whole file
// is mapped and so counts as resident. One call at a time, from any thread. Every failure (full
// disk, permissions) throws an Error that names the file; after one, only the destructor may
// follow.
class ShardWriter {
 public:
  explicit ShardWriter(std::filesystem::path path);
  ~ShardWriter();
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  // Adds a record under the next key. `record` is copied.
  void Append(std::span<const std::byte> record);

  // Compacts, syncs and renames: after this the shard survives a power cut. REQUIRES: called once
  ShardFacts Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::storage
