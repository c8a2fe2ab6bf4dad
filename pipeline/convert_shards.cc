#include "pipeline/convert_shards.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/info.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/process.h"
#include "storage/conversion/spool.h"
#include "storage/manifest.h"
#include "storage/record.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
using storage::FramePlace;
using storage::kKeyRanges;
using storage::ShardSummary;
using storage::SpoolEntry;
using storage::SpoolReader;

constexpr std::uint64_t kShardBytes = std::uint64_t{256} << 20;
constexpr std::uint64_t kMaxShards = 4096;
// Shards in the works at once: enough to hide the syncing of one behind the filling of others.
constexpr std::size_t kMaxLanes = 8;
// A shard's run of keys seldom meets more files of one part.
constexpr std::size_t kSpoolsOfShard = 4;

void RemoveFile(const fs::path& path) {
  std::error_code code;
  fs::remove(path, code);
  if (code) Fail("cannot remove {}: {}", path.string(), code.message());
}

// The files of a split's conversion, by what follows the shard's name.
enum class OwnFile : std::uint8_t { kShard, kSummary, kTemporary };

// Whether `name` is "<split>-00003-of-00008.lmdb" with what belongs to `kind` behind it.
bool IsOwnFile(std::string_view name, std::string_view split, OwnFile kind) {
  constexpr std::string_view kPattern = "-00000-of-00000.lmdb";
  if (!name.starts_with(split) || name.size() < split.size() + kPattern.size()) return false;
  name.remove_prefix(split.size());
  for (const char expected : kPattern) {
    const char found = name.front();
    if (expected == '0' ? found < '0' || found > '9' : found != expected) return false;
    name.remove_prefix(1);
  }
  switch (kind) {
    case OwnFile::kShard:
      return name.empty();
    case OwnFile::kSummary:
      return name == ".done.json";
    case OwnFile::kTemporary:
      return name.ends_with(".tmp");
  }
  return false;
}

std::vector<fs::path> OwnFiles(const fs::path& folder, std::string_view split, OwnFile kind) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (IsOwnFile(entry.path().filename().string(), split, kind)) found.push_back(entry.path());
  }
  return found;
}

// A run of positions in the dealt order.
struct Positions {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  bool Meets(const Positions& other) const { return begin < other.end && other.begin < end; }
};

// A file of pictures, whose keys fall into `ranges`.
struct Spool {
  fs::path path;
  std::size_t first_range = 0;
  std::size_t end_range = 0;
  std::uint64_t records = 0;
  Positions positions;  // of all parts' records in these ranges
};

// How records, ranges of keys, spools and shards lie to each other.
class Deal {
 public:
  explicit Deal(const ShardWork& work) : shards_(work.shards) {
    for (std::size_t range = 0; range < kKeyRanges; ++range) {
      first_[range + 1] = first_[range];
      for (const auto& part : work.parts) first_[range + 1] += part.summary.in_range[range];
    }
    for (const auto& part : work.parts) {
      for (std::uint32_t i = 0; i < part.summary.spools; ++i) AddSpool(part, i);
    }
  }

  std::uint64_t records() const { return first_[kKeyRanges]; }
  const std::vector<Spool>& spools() const { return spools_; }

  Positions PositionsOf(std::uint64_t shard) const {
    return {shard * records() / shards_, (shard + 1) * records() / shards_};
  }

  // The range of keys at a position. REQUIRES: position < records()
  std::size_t RangeAt(std::uint64_t position) const {
    const auto after = std::upper_bound(first_.begin(), first_.end(), position);
    return static_cast<std::size_t>(after - first_.begin()) - 1;
  }

  // The position of the first record of a range.
  std::uint64_t FirstOf(std::size_t range) const { return first_[range]; }

  // How many of the missing shards need each spool.
  std::vector<std::uint64_t> CountUses(const std::vector<std::uint64_t>& missing) const {
    std::vector<std::uint64_t> uses(spools_.size(), 0);
    for (const std::uint64_t shard : missing) {
      for (std::size_t i = 0; i < spools_.size(); ++i) {
        if (spools_[i].positions.Meets(PositionsOf(shard))) ++uses[i];
      }
    }
    return uses;
  }

 private:
  void AddSpool(const CompletePart& part, std::uint32_t index) {
    const auto& summary = part.summary;
    Spool spool{.path = storage::SpoolPath(part.folder, index, summary.spools),
                .first_range = index * kKeyRanges / summary.spools,
                .end_range = (index + 1) * kKeyRanges / summary.spools,
                .records = 0,
                .positions = {}};
    for (auto range = spool.first_range; range < spool.end_range; ++range) {
      spool.records += summary.in_range[range];
    }
    spool.positions = {first_[spool.first_range], first_[spool.end_range]};
    if (spool.records > 0) spools_.push_back(std::move(spool));
  }

  std::uint64_t shards_;
  std::array<std::uint64_t, kKeyRanges + 1> first_{};
  std::vector<Spool> spools_;  // those that hold records
};

// Shards of an earlier run with the same plan, by number.
std::map<std::uint64_t, ShardSummary> FinishedShards(const ShardWork& work) {
  std::map<std::uint64_t, ShardSummary> finished;
  for (std::uint64_t shard = 0; shard < work.shards; ++shard) {
    const fs::path path = work.to / storage::ShardFileName(work.split, shard, work.shards);
    auto summary = storage::ReadSummary(path);
    std::error_code code;
    if (summary && summary->plan == work.plan &&
        fs::file_size(path, code) == summary->facts.bytes && !code) {
      finished.emplace(shard, *std::move(summary));
    }
  }
  return finished;
}

std::vector<std::uint64_t> MissingShards(const ShardWork& work,
                                         const std::map<std::uint64_t, ShardSummary>& finished) {
  std::vector<std::uint64_t> missing;
  for (std::uint64_t shard = 0; shard < work.shards; ++shard) {
    if (!finished.contains(shard)) missing.push_back(shard);
  }
  return missing;
}

// A record on its way into a shard.
struct Dealt {
  std::size_t spool = 0;
  FramePlace frame;
};

class ShardMaker {
 public:
  ShardMaker(const ShardWork& work, const ConvertCallback& progress)
      : work_(work), callback_(progress), deal_(work), summaries_(FinishedShards(work)) {
    state_.stage = ConvertProgress::Stage::kShards;
    state_.total_pictures = deal_.records();
    for (const auto& [shard, summary] : summaries_) state_.pictures += summary.facts.records;
    kept_ = summaries_.size();
  }

  MadeShards Run() {
    RemoveOtherShards();
    missing_ = MissingShards(work_, summaries_);
    uses_ = deal_.CountUses(missing_);
    for (std::size_t i = 0; i < uses_.size(); ++i) {
      if (uses_[i] == 0) RemoveFile(deal_.spools()[i].path);
    }
    MakeMissing();
    MadeShards made{.summaries = {}, .kept = kept_, .stopped = summaries_.size() < work_.shards};
    for (auto& [shard, summary] : summaries_) made.summaries.push_back(std::move(summary));
    return made;
  }

 private:
  fs::path PathOf(std::uint64_t shard) const {
    return work_.to / storage::ShardFileName(work_.split, shard, work_.shards);
  }

  bool Stopping() const { return work_.stop != nullptr && work_.stop->load(); }

  void RemoveOtherShards() const {
    std::set<fs::path> kept;
    for (const auto& [shard, summary] : summaries_) {
      kept.insert({PathOf(shard), storage::SummaryPath(PathOf(shard))});
    }
    for (const OwnFile kind : {OwnFile::kShard, OwnFile::kSummary, OwnFile::kTemporary}) {
      for (const auto& path : OwnFiles(work_.to, work_.split, kind)) {
        if (!kept.contains(path)) RemoveFile(path);
      }
    }
  }

  void MakeMissing() {
    const auto jobs = static_cast<std::size_t>(
        work_.jobs > 0 ? work_.jobs : oneapi::tbb::info::default_concurrency());
    const std::size_t lanes = std::min({jobs, missing_.size(), kMaxLanes});
    AllowOpenFiles(lanes * work_.parts.size() * kSpoolsOfShard);
    const oneapi::tbb::global_control threads(oneapi::tbb::global_control::max_allowed_parallelism,
                                              std::max<std::size_t>(jobs, 1));
    oneapi::tbb::task_arena arena(static_cast<int>(jobs));
    std::atomic<std::size_t> next = 0;
    arena.execute([&] {
      oneapi::tbb::task_group group;
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        group.run([&] {
          for (auto i = next++; i < missing_.size(); i = next++) {
            if (Stopping() || oneapi::tbb::is_current_task_group_canceling()) return;
            MakeShard(missing_[i]);
          }
        });
      }
      group.wait();
    });
  }

  void MakeShard(std::uint64_t shard) {
    std::map<std::size_t, SpoolReader> readers;
    const std::vector<Dealt> dealt = DealTo(shard, &readers);
    ShardSummary summary{
        .plan = work_.plan, .facts = {}, .records = {}, .repairs = {}, .changed = {}};
    storage::ShardWriter writer(PathOf(shard));
    std::vector<std::byte> buffer;
    for (const Dealt& one : dealt) {
      if (Stopping()) return;
      SpoolEntry entry = readers.at(one.spool).Read(one.frame, &buffer);
      entry.record.label = LabelOf(entry.class_id);
      const auto record = storage::SerializeRecord(entry.record);
      writer.Append(record);
      summary.records.push_back(
          {.label = entry.record.label,
           .payload_hash = storage::ParseRecord(record).value().payload_hash});
      storage::CountRepairs(entry.record.repairs, &summary.repairs);
      if (!entry.found.empty()) {
        summary.changed.push_back({.file = std::string(entry.origin),
                                   .fault = std::string(entry.found),
                                   .action = std::string(entry.done)});
      }
      Count();
    }
    readers.clear();  // so that a spool that is removed is gone at once
    summary.facts = writer.Finish();
    storage::WriteSummary(PathOf(shard), summary);
    Finished(shard, std::move(summary));
  }

  // The records of a shard, in their order.
  std::vector<Dealt> DealTo(std::uint64_t shard,
                            std::map<std::size_t, SpoolReader>* readers) const {
    const Positions positions = deal_.PositionsOf(shard);
    const std::size_t first_range = deal_.RangeAt(positions.begin);
    const std::size_t end_range = deal_.RangeAt(positions.end - 1) + 1;
    std::vector<Dealt> dealt;
    for (std::size_t i = 0; i < deal_.spools().size(); ++i) {
      const Spool& spool = deal_.spools()[i];
      if (!spool.positions.Meets(positions)) continue;
      const SpoolReader& reader = readers->try_emplace(i, spool.path).first->second;
      std::uint64_t found = 0;
      reader.List([&](const FramePlace& frame) {
        const std::size_t range = storage::KeyRange(frame.facts.deal_key);
        if (range >= first_range && range < end_range) dealt.push_back({i, frame});
        ++found;
      });
      if (found != spool.records) {
        Fail("{} holds {} pictures and should hold {}; remove its folder and convert again",
             spool.path.string(), FormatCount(found), FormatCount(spool.records));
      }
    }
    SortByKey(*readers, &dealt);
    const std::uint64_t before = positions.begin - deal_.FirstOf(first_range);
    dealt.erase(dealt.begin(), dealt.begin() + static_cast<std::ptrdiff_t>(before));
    dealt.resize(positions.end - positions.begin);
    return dealt;
  }

  // Equal keys are equal pictures of one class, or as good as never something else: their paths
  // decide, and the place in the sources between copies of one path.
  static void SortByKey(const std::map<std::size_t, SpoolReader>& readers,
                        std::vector<Dealt>* dealt) {
    const auto key = [](const Dealt& one) { return one.frame.facts.deal_key; };
    std::sort(dealt->begin(), dealt->end(),
              [&](const Dealt& a, const Dealt& b) { return key(a) < key(b); });
    for (auto begin = dealt->begin(); begin != dealt->end();) {
      const auto end = std::find_if(begin, dealt->end(),
                                    [&](const Dealt& one) { return key(one) != key(*begin); });
      if (end - begin > 1) SortByPath(readers, {begin, end});
      begin = end;
    }
  }

  static void SortByPath(const std::map<std::size_t, SpoolReader>& readers,
                         std::span<Dealt> equal) {
    std::vector<std::pair<std::string, Dealt>> named;
    std::vector<std::byte> buffer;
    for (const Dealt& one : equal) {
      named.emplace_back(readers.at(one.spool).Read(one.frame, &buffer).record.path, one);
    }
    std::sort(named.begin(), named.end(), [](const auto& a, const auto& b) {
      return std::tie(a.first, a.second.frame.facts.place) <
             std::tie(b.first, b.second.frame.facts.place);
    });
    for (std::size_t i = 0; i < equal.size(); ++i) equal[i] = named[i].second;
  }

  std::uint32_t LabelOf(std::string_view class_id) const {
    const auto at = std::lower_bound(work_.class_ids.begin(), work_.class_ids.end(), class_id);
    MILLRACE_CHECK(at != work_.class_ids.end() && *at == class_id);
    return static_cast<std::uint32_t>(at - work_.class_ids.begin());
  }

  void Count() {
    const std::scoped_lock lock(mutex_);
    ++state_.pictures;
    if (callback_) callback_(state_);
  }

  void Finished(std::uint64_t shard, ShardSummary summary) {
    std::vector<fs::path> unused;
    {
      const std::scoped_lock lock(mutex_);
      summaries_.emplace(shard, std::move(summary));
      for (std::size_t i = 0; i < uses_.size(); ++i) {
        const Spool& spool = deal_.spools()[i];
        if (spool.positions.Meets(deal_.PositionsOf(shard)) && --uses_[i] == 0) {
          unused.push_back(spool.path);
        }
      }
    }
    // Not under the lock: the system takes its time to give up the pages of a large file.
    for (const fs::path& path : unused) RemoveFile(path);
  }

  const ShardWork& work_;
  const ConvertCallback& callback_;
  const Deal deal_;
  std::vector<std::uint64_t> missing_;
  std::uint64_t kept_ = 0;
  std::mutex mutex_;
  // These are guarded by mutex_ while shards are made.
  std::map<std::uint64_t, ShardSummary> summaries_;
  std::vector<std::uint64_t> uses_;  // of each spool, by shards that are not complete
  ConvertProgress state_;
};

}  // namespace

bool HasSpoolsForShards(const ShardWork& work) {
  const Deal deal(work);
  const auto uses = deal.CountUses(MissingShards(work, FinishedShards(work)));
  for (std::size_t i = 0; i < uses.size(); ++i) {
    std::error_code code;
    if (uses[i] > 0 && !fs::exists(deal.spools()[i].path, code)) return false;
  }
  return true;
}

MadeShards MakeShards(const ShardWork& work, const ConvertCallback& progress) {
  return ShardMaker(work, progress).Run();
}

void RemoveLeftovers(const fs::path& to, const std::string& split) {
  for (const OwnFile kind : {OwnFile::kSummary, OwnFile::kTemporary}) {
    for (const auto& path : OwnFiles(to, split, kind)) RemoveFile(path);
  }
}

std::uint64_t ChooseShards(std::uint32_t wanted, std::uint64_t records,
                           std::uint64_t record_bytes) {
  if (wanted > records) {
    FailUsage("{} shards are more than the {} pictures to fill them with", wanted, records);
  }
  if (wanted > 0) return wanted;
  return std::clamp<std::uint64_t>((record_bytes + kShardBytes - 1) / kShardBytes, 1,
                                   std::min(kMaxShards, records));
}

}  // namespace millrace::pipeline
