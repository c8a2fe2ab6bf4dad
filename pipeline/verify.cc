#include "pipeline/verify.h"

#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "storage/conversion/shard_summary.h"
#include "storage/manifest.h"
#include "storage/payload_check.h"
#include "storage/record.h"
#include "storage/shard_reader.h"

namespace millrace::pipeline {
namespace {

using storage::Manifest;
using storage::RecordFacts;
using storage::ShardInfo;
using storage::ShardReader;

// A task's worth of records: small enough to share a single shard out among the threads.
constexpr std::size_t kGrain = 16;

class Verifier {
 public:
  Verifier(const VerifyOptions& options, const Manifest& manifest,
           const std::function<void(const VerifyProgress&)>& progress)
      : options_(options), manifest_(manifest), callback_(progress) {
    for (const auto& [name, split] : manifest.splits) state_.total_records += split.records;
  }

  VerifyReport Run() {
    for (const auto& [name, split] : manifest_.splits) {
      ++report_.splits;
      VerifySplit(name, split);
    }
    if (Stopping()) report_.stopped = true;
    return std::move(report_);
  }

 private:
  // What one shard turned out to be.
  struct ShardResult {
    std::vector<RecordFacts> records;
    std::vector<std::pair<std::uint64_t, std::string>> bad_records;  // by key, once sorted
    std::optional<std::string> problem;                              // of the file as a whole
    bool complete = false;                                           // every record was read
  };

  bool Stopping() const { return options_.stop != nullptr && options_.stop->load(); }

  void VerifySplit(const std::string& name, const storage::SplitInfo& split) {
    std::vector<ShardResult> results(split.shards.size());
    tbb::parallel_for(std::size_t{0}, split.shards.size(), [&](std::size_t i) {
      if (!Stopping()) VerifyShard(split.shards[i], &results[i]);
    });
    storage::SplitFingerprint fingerprint(manifest_.classes);
    bool complete = true;
    for (std::size_t i = 0; i < results.size(); ++i) {
      const ShardInfo& info = split.shards[i];
      ShardResult& result = results[i];
      ++report_.shards;
      complete = complete && result.complete;
      if (result.problem) report_.problems.push_back({info.file, *result.problem});
      std::sort(result.bad_records.begin(), result.bad_records.end());
      for (auto& [key, what] : result.bad_records) {
        report_.problems.push_back({fmt::format("{}, key {}", info.file, key), std::move(what)});
      }
      for (const auto& record : result.records) {
        fingerprint.Add(record.label, record.payload_hash);
      }
    }
    if (complete && fingerprint.Digest() != split.fingerprint) {
      report_.problems.push_back(
          {name, fmt::format("its records have the fingerprint {}, not {} as manifest.json says",
                             HashToHex(fingerprint.Digest()), HashToHex(split.fingerprint))});
    }
  }

  void VerifyShard(const ShardInfo& info, ShardResult* result) {
    std::optional<ShardReader> shard;
    try {
      result->problem = CheckFile(info);
      // A file of another content is still read, to tell which records are hit.
      shard.emplace(options_.dataset / info.file);
    } catch (const Error& error) {
      result->problem = error.what();
      AddProgress(info.records);
      return;
    }
    if (shard->size() != info.records) {
      result->problem =
          fmt::format("holds {} records, but manifest.json says {}", shard->size(), info.records);
    }
    result->records.resize(shard->size());
    std::mutex mutex;  // of result->bad_records
    const auto check = [&](const tbb::blocked_range<std::uint64_t>& keys) {
      if (Stopping()) return;
      for (auto key = keys.begin(); key != keys.end(); ++key) {
        auto problem = CheckRecord(*shard, key, &result->records[key]);
        if (!problem) continue;
        const std::scoped_lock lock(mutex);
        result->bad_records.emplace_back(key, *std::move(problem));
      }
      AddProgress(keys.size());
    };
    // Isolated, so that a thread waiting for this shard does not begin another one.
    tbb::this_task_arena::isolate([&] {
      tbb::parallel_for(tbb::blocked_range<std::uint64_t>(0, shard->size(), kGrain), check);
    });
    result->complete = !Stopping() && result->bad_records.empty();
    const std::scoped_lock lock(mutex_);
    report_.records += shard->size();
    report_.bytes += info.bytes;
  }

  // Compares the file with the manifest; throws Error when it cannot be read.
  std::optional<std::string> CheckFile(const ShardInfo& info) const {
    const MappedFile file(options_.dataset / info.file);
    if (file.bytes().size() != info.bytes) {
      return fmt::format("has {} bytes, but manifest.json says {}", file.bytes().size(),
                         info.bytes);
    }
    if (const auto hash = Hash64(file.bytes()); hash != info.hash) {
      return fmt::format("has the hash {}, but manifest.json says {}: it was changed or damaged",
                         HashToHex(hash), HashToHex(info.hash));
    }
    return {};
  }

  std::optional<std::string> CheckRecord(const ShardReader& shard, std::uint64_t key,
                                         RecordFacts* facts) const {
    // Not through Read(), whose faults name shard and key themselves.
    const auto record = storage::ParseRecord(shard.Bytes(key));
    if (!record.ok()) return record.fault().message;
    if (const auto payload = storage::CheckPayload(*record); !payload.ok()) {
      return fmt::format("{}: {}", record->path, payload.fault().message);
    }
    *facts = {.label = record->label, .payload_hash = record->payload_hash};
    if (record->label >= manifest_.classes.size()) {
      return fmt::format("label {} is outside the {} classes of manifest.json", record->label,
                         manifest_.classes.size());
    }
    if (options_.quick) return {};
    const auto info = storage::CheckPayloadPicture(record->payload);
    if (!info.ok()) return fmt::format("{}: {}", record->path, info.fault().message);
    if (info->width != record->width || info->height != record->height ||
        info->subsampling != record->subsampling) {
      return fmt::format("{}: the picture is {} x {}, but its record says {} x {}", record->path,
                         info->width, info->height, record->width, record->height);
    }
    return {};
  }

  void AddProgress(std::uint64_t records) {
    const std::scoped_lock lock(mutex_);
    state_.records += records;
    if (callback_) callback_(state_);
  }

  const VerifyOptions& options_;
  const Manifest& manifest_;
  const std::function<void(const VerifyProgress&)>& callback_;
  std::mutex mutex_;
  VerifyProgress state_;  // guarded by mutex_
  VerifyReport report_;   // guarded by mutex_ while tasks run
};

}  // namespace

VerifyReport Verify(const VerifyOptions& options,
                    const std::function<void(const VerifyProgress&)>& progress) {
  const Manifest manifest = storage::ReadManifest(options.dataset);
  const int jobs = options.jobs > 0 ? options.jobs : tbb::info::default_concurrency();
  // Without it TBB stops at one thread per core.
  const tbb::global_control threads(tbb::global_control::max_allowed_parallelism,
                                    static_cast<std::size_t>(jobs));
  tbb::task_arena arena(jobs);
  return arena.execute([&] { return Verifier(options, manifest, progress).Run(); });
}

}  // namespace millrace::pipeline
