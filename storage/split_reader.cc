#include "storage/split_reader.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/process.h"
#include "storage/record.h"
#include "storage/shard_reader.h"

namespace millrace::storage {
namespace {

ShardReader OpenShard(const std::filesystem::path& path, const ShardInfo& info) {
  std::error_code code;
  const auto bytes = std::filesystem::file_size(path, code);
  if (code) {
    Fail(
        "{}: the shard that manifest.json names cannot be read ({}); restore the file or convert "
        "again",
        path.string(), code.message());
  }
  if (bytes != info.bytes) {
    Fail("{} has {} bytes, but manifest.json says {}; restore the file or convert again",
         path.string(), bytes, info.bytes);
  }
  ShardReader shard(path);
  if (shard.size() != info.records) {
    Fail("{} holds {} records, but manifest.json says {}; restore the file or convert again",
         path.string(), shard.size(), info.records);
  }
  return shard;
}

// Between neighbours lie an index page now and then and the rest of the last page. [bytes]
constexpr std::uintptr_t kLargestGap = std::uintptr_t{32} << 10;

// Linux cuts a hint off behind the larger of the disk's read-ahead window and its largest transfer
// (mm/readahead.c, force_page_cache_ra); this is the window that disks and network file systems
// have unless somebody sets another. [bytes]
constexpr std::uintptr_t kHintBytes = std::uintptr_t{128} << 10;

// A refused hint costs nothing but time. REQUIRES: begin at a page's beginning
void WillNeed(std::uintptr_t begin, std::uintptr_t end) {
  for (; begin < end; begin += kHintBytes) {
    (void)::madvise(reinterpret_cast<void*>(begin), std::min(kHintBytes, end - begin),
                    MADV_WILLNEED);
  }
}

// A shard's file in the dataset and, once there is one, its copy.
class Shard {
 public:
  explicit Shard(ShardReader original) : original_(std::move(original)) {}

  const ShardReader& original() const { return original_; }
  // What is read now.
  const ShardReader& current() const {
    const ShardReader* copy = copy_.load(std::memory_order_acquire);
    return copy != nullptr ? *copy : original_;
  }

  // One thread at a time.
  void UseCopy(ShardReader copy, std::function<void(const std::string&)> on_damage) {
    MILLRACE_CHECK(!opened_copy_);
    opened_copy_.emplace(std::move(copy));
    on_damage_ = std::move(on_damage);
    copy_.store(&*opened_copy_, std::memory_order_release);
  }

  // What `read` finds in the current file; where that is a copy and damaged, in the original.
  template <typename Read>
  Result<RecordView> ReadWith(Read read) {
    const ShardReader& file = current();
    Result<RecordView> record = read(file);
    if (record.ok() || &file == &original_) return record;
    // The first reader to notice tells.
    if (copy_.exchange(nullptr, std::memory_order_acq_rel) != nullptr) {
      on_damage_(record.fault().message);
    }
    return read(original_);
  }

 private:
  ShardReader original_;
  std::optional<ShardReader> opened_copy_;  // stays open for the views of its records
  std::function<void(const std::string&)> on_damage_;
  std::atomic<const ShardReader*> copy_ = nullptr;  // opened_copy_ while it is read
};

}  // namespace

struct SplitReader::State {
  Manifest manifest;
  const SplitInfo* split = nullptr;  // in manifest
  std::deque<Shard> shards;          // which stay where they are
  std::mutex copies;                 // one UseCopy() at a time
  std::vector<std::uint64_t> ends;   // by shard: the first sample id behind it
  std::uintptr_t page_bytes = 0;

  // The shard of a sample and its key there.
  std::pair<Shard&, std::uint64_t> Find(std::uint64_t sample_id) {
    const auto end = std::upper_bound(ends.begin(), ends.end(), sample_id);
    MILLRACE_CHECK(end != ends.end());
    const auto index = static_cast<std::size_t>(end - ends.begin());
    return {shards[index], sample_id - (index == 0 ? 0 : ends[index - 1])};
  }

  // Calls `body(shard, first key, records)` for each shard's share of the samples, in order.
  template <typename Body>
  void ForEachShard(std::uint64_t first, std::uint64_t count, const Body& body) {
    while (count > 0) {
      const auto [shard, key] = Find(first);
      const std::uint64_t of_shard = std::min(count, shard.original().size() - key);
      body(shard, key, of_shard);
      first += of_shard;
      count -= of_shard;
    }
  }

  Result<RecordView> CheckLabel(Result<RecordView> record, std::uint64_t sample_id) {
    if (record.ok() && record->label >= manifest.classes.size()) {
      const auto [shard, key] = Find(sample_id);
      return MakeFault("{}: label {} is outside the {} classes of manifest.json",
                       shard.original().Where(key), record->label, manifest.classes.size());
    }
    return record;
  }
};

SplitReader::SplitReader(const std::filesystem::path& dataset, std::string_view split)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.manifest = ReadManifest(dataset);
  state.split = &FindSplit(state.manifest, split, dataset);
  state.page_bytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  AllowOpenFiles(state.split->shards.size());
  std::uint64_t end = 0;
  for (const ShardInfo& info : state.split->shards) {
    state.shards.emplace_back(OpenShard(dataset / info.file, info));
    state.ends.push_back(end += info.records);
  }
}

SplitReader::~SplitReader() = default;
SplitReader::SplitReader(SplitReader&&) noexcept = default;
SplitReader& SplitReader::operator=(SplitReader&&) noexcept = default;

const Manifest& SplitReader::manifest() const { return state_->manifest; }
const SplitInfo& SplitReader::split() const { return *state_->split; }
std::uint64_t SplitReader::size() const { return state_->split->records; }

Result<RecordView> SplitReader::Read(std::uint64_t sample_id) const {
  const auto [shard, key] = state_->Find(sample_id);
  return state_->CheckLabel(
      shard.ReadWith([key = key](const ShardReader& file) { return file.Read(key); }), sample_id);
}

Result<RecordView> SplitReader::Peek(std::uint64_t sample_id) const {
  const auto [shard, key] = state_->Find(sample_id);
  return state_->CheckLabel(
      shard.ReadWith([key = key](const ShardReader& file) { return file.Peek(key); }), sample_id);
}

void SplitReader::Prefetch(std::uint64_t first, std::uint64_t count) const {
  // Records that follow each other lie side by side: they are asked for together.
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  for (std::uint64_t sample_id = first; sample_id < first + count; ++sample_id) {
    const auto [shard, key] = state_->Find(sample_id);
    const auto bytes = shard.current().Bytes(key);
    const auto at = reinterpret_cast<std::uintptr_t>(bytes.data()) & ~(state_->page_bytes - 1);
    if (at < begin || at > end + kLargestGap) {
      WillNeed(begin, end);
      begin = at;
    }
    end = reinterpret_cast<std::uintptr_t>(bytes.data()) + bytes.size();
  }
  WillNeed(begin, end);
}

std::size_t SplitReader::RunBytes(std::uint64_t first, std::uint64_t count) const {
  std::size_t bytes = 0;
  state_->ForEachShard(first, count, [&](Shard& shard, std::uint64_t key, std::uint64_t records) {
    if (const auto pages = shard.current().Pages(key, records)) bytes += pages->bytes;
  });
  return bytes;
}

std::vector<std::span<const std::byte>> SplitReader::ReadRun(std::uint64_t first,
                                                             std::uint64_t count,
                                                             std::span<std::byte> memory) const {
  std::vector<std::span<const std::byte>> records;
  bool complete = true;
  state_->ForEachShard(first, count, [&](Shard& shard, std::uint64_t key, std::uint64_t of_shard) {
    if (!complete) return;
    // One file, although another may become the current one meanwhile.
    const ShardReader& file = shard.current();
    const auto pages = file.Pages(key, of_shard);
    complete = pages && pages->bytes <= memory.size() && file.ReadDirect(*pages, memory);
    if (!complete) return;
    for (std::uint64_t at = key; at < key + of_shard; ++at) {
      records.push_back(memory.subspan(file.Offset(at) - pages->offset, file.Bytes(at).size()));
    }
    memory = memory.subspan(pages->bytes);
  });
  if (!complete) records.clear();
  return records;
}

Result<RecordView> SplitReader::ReadStored(std::uint64_t sample_id,
                                           std::span<const std::byte> stored) const {
  auto record = ParseRecord(stored);
  if (record.ok()) {
    if (const auto payload = CheckPayload(*record); payload.ok()) {
      return state_->CheckLabel(std::move(record), sample_id);
    }
  }
  // What the file holds counts, not what came of one reading.
  return Read(sample_id);
}

std::string SplitReader::Where(std::uint64_t sample_id) const {
  const auto [shard, key] = state_->Find(sample_id);
  return shard.original().Where(key);
}

void SplitReader::UseCopy(std::size_t shard, const std::filesystem::path& path,
                          std::function<void(const std::string& fault)> on_damage) const {
  State& state = *state_;
  MILLRACE_CHECK(shard < state.shards.size());
  const std::lock_guard lock(state.copies);
  AllowOpenFiles(2 * state.shards.size());
  state.shards[shard].UseCopy(OpenShard(path, state.split->shards[shard]), std::move(on_damage));
}

}  // namespace millrace::storage
