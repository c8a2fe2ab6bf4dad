// Reads one shard: checks its structure, maps it, and knows where every record lies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "storage/record_view.h"

namespace millrace::storage {

// Whole pages of a file. [bytes]
struct PageRange {
  std::uint64_t offset = 0;
  std::size_t bytes = 0;
};

// An open shard. All methods are const, lock-free and may be called from any number of threads.
// Views stay valid while the object lives. The file must not be written or truncated meanwhile (a
// page that has gone is a SIGBUS); renaming another file over it is harmless.
class ShardReader {
 public:
  // Opens `path`. Throws Error naming the file when it is missing, unreadable, or its structure is
  // damaged. Records are not touched.
  explicit ShardReader(const std::filesystem::path& path);
  ~ShardReader();
  ShardReader(ShardReader&&) noexcept;
  ShardReader& operator=(ShardReader&&) noexcept;

  // Records; their keys are 0..size()-1.
  std::uint64_t size() const;

  // The record under `key`, structure and hashes of header and payload checked. A fault names file
  // and key ("train-00003-of-00008.lmdb, key 17: ..."). Does not allocate when it succeeds.
  // REQUIRES: key < size()
  Result<RecordView> Read(std::uint64_t key) const;

  // The same without touching the payload: for whoever wants only the header.
  Result<RecordView> Peek(std::uint64_t key) const;

  // The record's bytes as stored. REQUIRES: key < size()
  std::span<const std::byte> Bytes(std::uint64_t key) const;

  // The pages of the records from `key` on, `count` of them, in the file. Nothing where they do not
  // lie side by side, or the file's place is not known. REQUIRES: count > 0, key + count <= size()
  std::optional<PageRange> Pages(std::uint64_t key, std::uint64_t count) const;

  // Where the record's bytes begin in the file [bytes]. REQUIRES: Pages() gives something for it
  std::uint64_t Offset(std::uint64_t key) const;

  // Reads so many of the file's bytes into `memory`, past the page cache. False where the file
  // system cannot or the disk fails. Blocks. REQUIRES: `memory` begins at a page, `pages` are of
  // Pages(), memory.size() >= pages.bytes
  bool ReadDirect(PageRange pages, std::span<std::byte> memory) const;

  // "train-00003-of-00008.lmdb, key 17".
  std::string Where(std::uint64_t key) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::storage
