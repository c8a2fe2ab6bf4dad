#include "storage/split_reader.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/process.h"
#include "storage/shard_reader.h"

namespace millrace::storage {
namespace {

ShardReader OpenShard(const std::filesystem::path& dataset, const ShardInfo& info) {
  const auto path = dataset / info.file;
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

}  // namespace

struct SplitReader::State {
  Manifest manifest;
  const SplitInfo* split = nullptr;  // in manifest
  std::vector<ShardReader> shards;
  std::vector<std::uint64_t> ends;  // by shard: the first sample id behind it
  std::uintptr_t page_bytes = 0;

  // The shard of a sample and its key there.
  std::pair<const ShardReader&, std::uint64_t> Find(std::uint64_t sample_id) const {
    const auto end = std::upper_bound(ends.begin(), ends.end(), sample_id);
    MILLRACE_CHECK(end != ends.end());
    const auto index = static_cast<std::size_t>(end - ends.begin());
    return {shards[index], sample_id - (index == 0 ? 0 : ends[index - 1])};
  }

  Result<RecordView> CheckLabel(Result<RecordView> record, std::uint64_t sample_id) const {
    if (record.ok() && record->label >= manifest.classes.size()) {
      const auto [shard, key] = Find(sample_id);
      return MakeFault("{}: label {} is outside the {} classes of manifest.json", shard.Where(key),
                       record->label, manifest.classes.size());
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
    state.shards.push_back(OpenShard(dataset, info));
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
  return state_->CheckLabel(shard.Read(key), sample_id);
}

Result<RecordView> SplitReader::Peek(std::uint64_t sample_id) const {
  const auto [shard, key] = state_->Find(sample_id);
  return state_->CheckLabel(shard.Peek(key), sample_id);
}

void SplitReader::Prefetch(std::uint64_t sample_id) const {
  const auto [shard, key] = state_->Find(sample_id);
  const auto bytes = shard.Bytes(key);
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t first_page = begin & ~(state_->page_bytes - 1);
  // A refused hint costs nothing but time.
  (void)::madvise(reinterpret_cast<void*>(first_page), begin + bytes.size() - first_page,
                  MADV_WILLNEED);
}

std::string SplitReader::Where(std::uint64_t sample_id) const {
  const auto [shard, key] = state_->Find(sample_id);
  return shard.Where(key);
}

}  // namespace millrace::storage
