// One split of a dataset, open for reading in any order: what the pipeline reads samples from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "storage/manifest.h"
#include "storage/record_view.h"

namespace millrace::storage {

// A sample id is a record's position in the split: shards in the manifest's order, keys in order.
//
// All methods are const and may be called from any number of threads; all but UseCopy() are
// lock-free. Views stay valid while the object lives. Records are read through a shared, read-only
// map: what has been read counts towards the process's RSS (its file part, RssFile) until the
// kernel wants the page cache back, and no memory is allocated per record. The files must not be
// changed meanwhile.
class SplitReader {
 public:
  // Opens every shard of the split. Throws Error naming file or key when the manifest cannot be
  // used, a shard is missing, has another size than noted or a damaged structure. Raises the
  // process's soft limit of open files when there are more shards than it allows. Costs one pass
  // over the shards' index pages (about 26 bytes per record); records are not touched.
  SplitReader(const std::filesystem::path& dataset, std::string_view split);
  ~SplitReader();
  SplitReader(SplitReader&&) noexcept;
  SplitReader& operator=(SplitReader&&) noexcept;

  const Manifest& manifest() const;
  const SplitInfo& split() const;

  // Samples; their ids are 0..size()-1.
  std::uint64_t size() const;

  // The sample, its structure, header, payload hash and label checked. A fault names shard and key
  // ("train-00003-of-00008.lmdb, key 17: ..."). Does not allocate when it succeeds. May block on
  // the disk. REQUIRES: sample_id < size()
  Result<RecordView> Read(std::uint64_t sample_id) const;

  // The same without touching the payload, whose hash is not checked: for whoever wants only the
  // header.
  Result<RecordView> Peek(std::uint64_t sample_id) const;

  // Asks the kernel to bring the pages of `count` samples from `first` on into memory and returns
  // when they are requested. A hint: without it Read() waits for the disk page by page, as the map
  // is opened without read-ahead. REQUIRES: first + count <= size()
  void Prefetch(std::uint64_t first, std::uint64_t count = 1) const;

  // The memory that ReadRun() needs for these samples [bytes]. REQUIRES: first + count <= size()
  std::size_t RunBytes(std::uint64_t first, std::uint64_t count) const;

  // Reads the samples' stored bytes from the disk into `memory`, past the page cache, and returns
  // where each lies there, in order. Nothing where the file system cannot, the disk fails or the
  // samples do not lie side by side: Read() then says what is the matter, if anything. Blocks.
  // REQUIRES: first + count <= size(), `memory` begins at a page and holds RunBytes()
  std::vector<std::span<const std::byte>> ReadRun(std::uint64_t first, std::uint64_t count,
                                                  std::span<std::byte> memory) const;

  // As Read(), of a sample whose bytes are those of ReadRun(), into which its views point.
  Result<RecordView> ReadStored(std::uint64_t sample_id, std::span<const std::byte> stored) const;

  // From now on the shard's records are read from its copy at `path` (shard_copy.h), which holds
  // the same; views of the dataset's own file stay valid. Opening it checks what the constructor
  // checks; throws Error naming it and changes nothing when it cannot be used. A record that is
  // damaged there ends the use of the copy: it and the rest of the shard come from the dataset
  // again, and `on_damage` is called, once, with the fault, by the thread that reads. REQUIRES:
  // shard < split().shards.size(); UseCopy() was not called for it with success
  void UseCopy(std::size_t shard, const std::filesystem::path& path,
               std::function<void(const std::string& fault)> on_damage) const;

  // "train-00003-of-00008.lmdb, key 17", for messages. REQUIRES: sample_id < size()
  std::string Where(std::uint64_t sample_id) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::storage
