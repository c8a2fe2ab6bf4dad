#include "pipeline/convert.h"

#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "base/build_info.h"
#include "base/error.h"
#include "base/file.h"
#include "base/folder_lock.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/permutation.h"
#include "storage/image_folder.h"
#include "storage/jpeg_info.h"
#include "storage/manifest.h"
#include "storage/record.h"
#include "storage/shard_writer.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
using storage::BadFile;
using storage::Manifest;
using storage::ShardSummary;
using storage::SourceFile;

constexpr std::uint64_t kShardBytes = std::uint64_t{256} << 20;
constexpr std::uint64_t kMaxShards = 4096;
constexpr int kMaxJobs = 1024;
constexpr std::size_t kListedFaults = 10;
// Shards in the works at once: enough to hide the syncing of one behind the filling of others.
constexpr std::size_t kMaxLanes = 8;
// Enters the plan: raise it when the same files would give other bytes than before.
constexpr std::uint64_t kPlanVersion = 1;

struct PlannedFile {
  SourceFile file;  // its label is the dataset's
  std::uint32_t source = 0;
};

// Everything that decides the output.
struct Plan {
  std::vector<fs::path> sources;
  std::vector<std::string> classes;  // of the dataset, by label
  std::vector<PlannedFile> files;    // sorted by label, path and source
  std::vector<std::string> ignored;
  std::uint64_t bytes = 0;  // of all files
  std::uint64_t shards = 0;
  std::uint64_t seed = 0;
  std::uint64_t hash = 0;

  std::uint64_t Begin(std::uint64_t shard) const { return shard * files.size() / shards; }

  fs::path PathOf(const PlannedFile& planned) const {
    return sources[planned.source] / planned.file.path;
  }
};

void CheckOptions(const ConvertOptions& options) {
  if (options.sources.empty()) FailUsage("no source to convert from");
  if (options.to.empty()) FailUsage("no dataset folder to convert to");
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  if (options.split.empty() || options.split.size() > 64 ||
      !std::all_of(options.split.begin(), options.split.end(), allowed)) {
    FailUsage("\"{}\" cannot be a split's name; use letters, digits and _", options.split);
  }
  if (options.shards > kMaxShards) {
    FailUsage("{} shards are too many; the limit is {}", options.shards, kMaxShards);
  }
  if (options.jobs < 0 || options.jobs > kMaxJobs) {
    FailUsage("{} jobs are not possible; use 0 (one per core) to {}", options.jobs, kMaxJobs);
  }
}

// Lists the sources and mixes them: classes are united, labels are positions in the union.
Plan ListSources(const ConvertOptions& options) {
  Plan plan;
  plan.sources = options.sources;
  plan.seed = options.seed;
  std::vector<storage::ImageFolder> folders;
  for (const auto& source : options.sources) {
    folders.push_back(storage::ListImageFolder(source));
    const auto& classes = folders.back().classes;
    plan.classes.insert(plan.classes.end(), classes.begin(), classes.end());
  }
  std::sort(plan.classes.begin(), plan.classes.end());
  plan.classes.erase(std::unique(plan.classes.begin(), plan.classes.end()), plan.classes.end());
  for (std::size_t source = 0; source < folders.size(); ++source) {
    auto& folder = folders[source];
    for (auto& file : folder.files) {
      const auto& id = folder.classes[file.label];
      const auto at = std::lower_bound(plan.classes.begin(), plan.classes.end(), id);
      file.label = static_cast<std::uint32_t>(at - plan.classes.begin());
      plan.bytes += file.bytes;
      plan.files.push_back({.file = std::move(file), .source = static_cast<std::uint32_t>(source)});
    }
    for (const auto& name : folder.ignored) {
      plan.ignored.push_back((folder.root / name).string());
    }
  }
  std::sort(plan.files.begin(), plan.files.end(), [](const auto& a, const auto& b) {
    return std::tie(a.file.label, a.file.path, a.source) <
           std::tie(b.file.label, b.file.path, b.source);
  });
  return plan;
}

// Gives the plan the labels of the dataset that it joins.
void AdoptClasses(const Manifest& manifest, const fs::path& dataset, Plan* plan) {
  std::vector<std::string> ids;
  for (const auto& info : manifest.classes) ids.push_back(info.id);
  std::vector<std::uint32_t> labels;
  for (const auto& id : plan->classes) {
    const auto at = std::lower_bound(ids.begin(), ids.end(), id);
    if (at == ids.end() || *at != id) {
      Fail(
          "the class \"{}\" of {} is not among the {} classes of {}; splits of one dataset share "
          "their classes, so convert the one that has them all first",
          id, plan->sources.front().string(), ids.size(), storage::ManifestPath(dataset).string());
    }
    labels.push_back(static_cast<std::uint32_t>(at - ids.begin()));
  }
  // Both lists are sorted, so the order of the files stays.
  for (auto& planned : plan->files) planned.file.label = labels[planned.file.label];
  plan->classes = std::move(ids);
}

std::uint64_t ChooseShards(const ConvertOptions& options, const Plan& plan) {
  const std::uint64_t files = plan.files.size();
  if (options.shards > files) {
    FailUsage("{} shards are more than the {} files to fill them with", options.shards, files);
  }
  if (options.shards > 0) return options.shards;
  const std::uint64_t wanted = (plan.bytes + kShardBytes - 1) / kShardBytes;
  return std::clamp<std::uint64_t>(wanted, 1, std::min(kMaxShards, files));
}

std::uint64_t HashPlan(const ConvertOptions& options, const Plan& plan) {
  Hasher hasher;
  const auto add_text = [&](std::string_view text) {
    hasher.AddU64(text.size());
    hasher.Add(text);
  };
  hasher.AddU64(kPlanVersion);
  hasher.AddU64(storage::kFormatVersion);
  hasher.AddU64(static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));  // LMDB's, too
  add_text(options.split);
  hasher.AddU64(plan.seed);
  hasher.AddU64(plan.shards);
  hasher.AddU64(plan.classes.size());
  for (const auto& id : plan.classes) add_text(id);
  for (const auto& planned : plan.files) {
    add_text(planned.file.path);
    hasher.AddU64(planned.file.label);
    hasher.AddU64(planned.file.bytes);
    hasher.AddU64(static_cast<std::uint64_t>(planned.file.modified_ns));
  }
  return hasher.Digest();
}

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

// What one file became.
struct Converted {
  std::vector<std::byte> record;
  storage::RecordFacts facts;
  std::uint64_t source_bytes = 0;
  std::optional<BadFile> bad;
};

// Reads and checks one picture; a fault is about this file alone.
Result<std::vector<std::byte>> MakeRecord(const fs::path& path, const SourceFile& file,
                                          storage::RecordFacts* facts) {
  if (file.bytes > storage::kMaxPayloadBytes) {
    return MakeFault("{} is more than a picture may have ({})", FormatBytes(file.bytes),
                     FormatBytes(storage::kMaxPayloadBytes));
  }
  std::string content;
  try {
    content = ReadFile(path);
  } catch (const Error& error) {
    return Fault{error.what()};
  }
  if (content.size() != file.bytes) return Fault{"changed while it was being converted"};
  const auto payload = std::as_bytes(std::span(content));
  const auto info = storage::CheckJpeg(payload);
  if (!info.ok()) {
    const std::string_view format = storage::SniffFormat(payload);
    const std::string extension = path.extension().string();
    const bool named_jpeg = extension.starts_with(".j") || extension.starts_with(".J");
    if (named_jpeg && !format.empty() && format != "a JPEG image") {
      return MakeFault("{} although it is named {}", format, extension);
    }
    return info.fault();
  }
  *facts = {.label = file.label, .payload_hash = Hash64(payload)};
  return storage::SerializeRecord({.label = file.label,
                                   .width = info->width,
                                   .height = info->height,
                                   .subsampling = info->subsampling,
                                   .repairs = 0,
                                   .payload_hash = facts->payload_hash,
                                   .path = file.path,
                                   .payload = payload,
                                   .region_index = {}});
}

// Counts files for the progress callback.
class ProgressCounter {
 public:
  ProgressCounter(const Plan& plan, const std::function<void(const ConvertProgress&)>& callback)
      : callback_(callback) {
    state_.total_files = plan.files.size();
    state_.total_bytes = plan.bytes;
  }

  void Add(std::uint64_t files, std::uint64_t bytes) {
    const std::scoped_lock lock(mutex_);
    state_.files += files;
    state_.bytes += bytes;
    if (callback_) callback_(state_);
  }

 private:
  const std::function<void(const ConvertProgress&)>& callback_;
  std::mutex mutex_;
  ConvertProgress state_;  // guarded by mutex_
};

// One conversion at work, after everything has been decided.
class Conversion {
 public:
  Conversion(const ConvertOptions& options, const Plan& plan,
             const std::function<void(const ConvertProgress&)>& progress)
      : options_(options),
        plan_(plan),
        order_(plan.files.size(), plan.seed),
        progress_(plan, progress),
        summaries_(plan.shards) {}

  // Keeps the shards that an earlier run with the same plan has finished and removes what other
  // runs have left.
  void TakeUp() {
    std::set<fs::path> kept_files;
    for (std::uint64_t shard = 0; shard < plan_.shards; ++shard) {
      auto summary = storage::ReadSummary(PathOf(shard));
      std::error_code code;
      if (!summary || summary->plan != plan_.hash ||
          fs::file_size(PathOf(shard), code) != summary->facts.bytes || code) {
        continue;
      }
      summaries_[shard] = *std::move(summary);
      ++kept_;
      kept_files.insert({PathOf(shard), storage::SummaryPath(PathOf(shard))});
      std::uint64_t bytes = 0;
      for (auto i = plan_.Begin(shard); i < plan_.Begin(shard + 1); ++i) bytes += At(i).file.bytes;
      progress_.Add(plan_.Begin(shard + 1) - plan_.Begin(shard), bytes);
    }
    for (const OwnFile kind : {OwnFile::kShard, OwnFile::kSummary}) {
      for (const auto& path : OwnFiles(options_.to, options_.split, kind)) {
        if (!kept_files.contains(path)) RemoveFile(path);
      }
    }
  }

  // Makes the shards that are missing. After it Complete() tells whether all are there.
  void Run() {
    std::vector<std::uint64_t> missing;
    for (std::uint64_t shard = 0; shard < plan_.shards; ++shard) {
      if (!summaries_[shard]) missing.push_back(shard);
    }
    const auto jobs = static_cast<std::size_t>(
        options_.jobs > 0 ? options_.jobs : tbb::info::default_concurrency());
    const std::size_t lanes = std::min({jobs, missing.size(), kMaxLanes});
    std::atomic<std::size_t> next = 0;
    // Without it TBB stops at one thread per core.
    const tbb::global_control threads(tbb::global_control::max_allowed_parallelism, jobs);
    tbb::task_arena arena(static_cast<int>(jobs));
    arena.execute([&] {
      tbb::task_group group;
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        group.run([&] {
          for (auto i = next++; i < missing.size(); i = next++) {
            if (Stopping() || tbb::is_current_task_group_canceling()) return;
            // Isolated, so that a thread waiting for this shard does not begin another one.
            tbb::this_task_arena::isolate(
                [&] { MakeShard(missing[i], std::max<std::size_t>(2, 2 * jobs / lanes)); });
          }
        });
      }
      group.wait();
    });
  }

  bool Complete() const {
    return std::all_of(summaries_.begin(), summaries_.end(),
                       [](const auto& summary) { return summary.has_value(); });
  }

  // All bad files that were found, sorted.
  std::vector<BadFile> BadFiles() const {
    std::vector<BadFile> bad = refused_;
    for (const auto& summary : summaries_) {
      if (summary) bad.insert(bad.end(), summary->left_out.begin(), summary->left_out.end());
    }
    std::sort(bad.begin(), bad.end(),
              [](const BadFile& a, const BadFile& b) { return a.file < b.file; });
    return bad;
  }

  // The split's entry in the manifest. REQUIRES: Complete()
  storage::SplitInfo Describe(const std::vector<storage::ClassInfo>& classes) const {
    storage::SplitInfo split{
        .records = 0,
        .fingerprint = 0,
        .shards = {},
        .conversion = {.seed = options_.seed,
                       .on_bad = options_.on_bad == OnBad::kSkip ? "skip" : "fail",
                       .left_out = 0,
                       .plan = plan_.hash}};
    storage::SplitFingerprint fingerprint(classes);
    for (std::uint64_t shard = 0; shard < plan_.shards; ++shard) {
      const ShardSummary& summary = *summaries_[shard];
      split.records += summary.facts.records;
      split.conversion.left_out += summary.left_out.size();
      split.shards.push_back({.file = PathOf(shard).filename().string(),
                              .records = summary.facts.records,
                              .bytes = summary.facts.bytes,
                              .hash = summary.facts.hash});
      for (const auto& record : summary.records) {
        fingerprint.Add(record.label, record.payload_hash);
      }
    }
    split.fingerprint = fingerprint.Digest();
    return split;
  }

  std::uint64_t kept() const { return kept_; }

 private:
  fs::path PathOf(std::uint64_t shard) const {
    return options_.to / storage::ShardFileName(options_.split, shard, plan_.shards);
  }

  // The file at a position of the dealt order.
  const PlannedFile& At(std::uint64_t position) const { return plan_.files[order_(position)]; }

  bool Stopping() const { return options_.stop != nullptr && options_.stop->load(); }

  void ConvertFile(const PlannedFile& planned, Converted* result) const {
    const fs::path path = plan_.PathOf(planned);
    result->source_bytes = planned.file.bytes;
    result->bad.reset();
    auto record = MakeRecord(path, planned.file, &result->facts);
    if (record.ok()) {
      result->record = std::move(record).value();
    } else {
      result->bad = BadFile{.file = path.string(), .fault = record.fault().message};
    }
  }

  // Converts the files of one shard, `tokens` of them at once, and writes them in their order.
  void MakeShard(std::uint64_t shard, std::size_t tokens) {
    const std::uint64_t begin = plan_.Begin(shard);
    const std::uint64_t end = plan_.Begin(shard + 1);
    std::uint64_t next = begin;
    std::uint64_t written = begin;  // lags behind `next`, for good when another shard fails
    ShardSummary summary{.plan = plan_.hash, .facts = {}, .records = {}, .left_out = {}};
    std::optional<storage::ShardWriter> writer(std::in_place, PathOf(shard));
    // Files are written in the order in which they were taken, so the position `tokens` later may
    // take a place over.
    std::vector<Converted> places(tokens);
    const auto take = [&](tbb::flow_control& control) -> std::uint64_t {
      if (next == end || Stopping()) {
        control.stop();
        return 0;
      }
      return next++;
    };
    const auto convert = [&](std::uint64_t position) {
      ConvertFile(At(position), &places[position % tokens]);
      return position;
    };
    const auto write = [&](std::uint64_t position) {
      Converted& converted = places[position % tokens];
      if (converted.bad) {
        summary.left_out.push_back(*std::move(converted.bad));
        if (options_.on_bad == OnBad::kFail) writer.reset();  // from here on only check
      } else if (writer) {
        writer->Append(converted.record);
        summary.records.push_back(converted.facts);
      }
      ++written;
      progress_.Add(1, converted.source_bytes);
    };
    using tbb::filter_mode;
    tbb::parallel_pipeline(
        tokens, tbb::make_filter<void, std::uint64_t>(filter_mode::serial_in_order, take) &
                    tbb::make_filter<std::uint64_t, std::uint64_t>(filter_mode::parallel, convert) &
                    tbb::make_filter<std::uint64_t, void>(filter_mode::serial_in_order, write));
    if (!writer) {
      const std::scoped_lock lock(refused_mutex_);
      refused_.insert(refused_.end(), summary.left_out.begin(), summary.left_out.end());
    } else if (written == end) {
      summary.facts = writer->Finish();
      storage::WriteSummary(PathOf(shard), summary);
      summaries_[shard] = std::move(summary);
    }
  }

  const ConvertOptions& options_;
  const Plan& plan_;
  const Permutation order_;
  ProgressCounter progress_;
  std::vector<std::optional<ShardSummary>> summaries_;  // by shard; each written by one task
  std::uint64_t kept_ = 0;
  std::mutex refused_mutex_;
  std::vector<BadFile> refused_;  // guarded by refused_mutex_ while tasks run
};

[[noreturn]] void FailOnBadFiles(const std::vector<BadFile>& bad, const ConvertOptions& options,
                                 std::uint64_t total) {
  std::string list;
  for (std::size_t i = 0; i < std::min(bad.size(), kListedFaults); ++i) {
    list += fmt::format("\n  {}: {}", bad[i].file, bad[i].fault);
  }
  if (bad.size() > kListedFaults) {
    list += fmt::format("\n  and {} more, listed in {}", FormatCount(bad.size() - kListedFaults),
                        (options.to / "report.json").string());
  }
  Fail(
      "{} of {} files cannot be used; repair or remove them, or leave them out with --on-bad "
      "skip{}",
      FormatCount(bad.size()), FormatCount(total), list);
}

// What is there of a finished split. Throws when it is not what the plan would make.
ConvertReport CheckFinished(const ConvertOptions& options, const Manifest& manifest,
                            const Plan& plan) {
  const storage::SplitInfo& split = manifest.splits.at(options.split);
  const auto path = storage::ManifestPath(options.to).string();
  if (split.conversion.plan != plan.hash) {
    Fail(
        "{} already holds the split \"{}\", made from other files or with other options; convert "
        "into another folder, or remove this one first",
        path, options.split);
  }
  ConvertReport report{.nothing_to_do = true,
                       .records = split.records,
                       .shards = split.shards.size(),
                       .shards_kept = split.shards.size(),
                       .classes = manifest.classes.size(),
                       .fingerprint = split.fingerprint,
                       .left_out = {},
                       .ignored = plan.ignored};
  for (const auto& shard : split.shards) {
    std::error_code code;
    if (fs::file_size(options.to / shard.file, code) != shard.bytes || code) {
      Fail(
          "{} is missing or has another size than {} says; restore it, or remove {} to convert "
          "again",
          (options.to / shard.file).string(), path, path);
    }
    report.bytes += shard.bytes;
  }
  return report;
}

}  // namespace

ConvertReport Convert(const ConvertOptions& options,
                      const std::function<void(const ConvertProgress&)>& progress) {
  CheckOptions(options);
  Plan plan = ListSources(options);
  std::error_code code;
  if (plan.classes.size() < 2 && !fs::exists(storage::ManifestPath(options.to), code)) {
    Fail("{} has a single class, \"{}\"; a classifier needs two at least",
         plan.sources.front().string(), plan.classes.front());
  }
  plan.shards = ChooseShards(options, plan);
  CreateFolders(options.to);
  const FolderLock lock(options.to, "another conversion");
  Manifest manifest = storage::ReadManifestIfAny(options.to).value_or(Manifest{});
  if (manifest.classes.empty()) {
    for (const auto& id : plan.classes) manifest.classes.push_back({.id = id, .name = id});
  } else {
    AdoptClasses(manifest, options.to, &plan);
  }
  plan.hash = HashPlan(options, plan);

  for (const auto& path : OwnFiles(options.to, options.split, OwnFile::kTemporary))
    RemoveFile(path);
  if (manifest.splits.contains(options.split)) {
    ConvertReport report = CheckFinished(options, manifest, plan);
    // Left by a run that was killed right after it wrote the manifest.
    for (const auto& path : OwnFiles(options.to, options.split, OwnFile::kSummary)) {
      RemoveFile(path);
    }
    return report;
  }

  Conversion conversion(options, plan, progress);
  conversion.TakeUp();
  conversion.Run();
  ConvertReport report{.shards = plan.shards,
                       .shards_kept = conversion.kept(),
                       .classes = manifest.classes.size(),
                       .left_out = conversion.BadFiles(),
                       .ignored = plan.ignored};
  const bool refused = options.on_bad == OnBad::kFail && !report.left_out.empty();
  if (!conversion.Complete() && options.stop != nullptr && options.stop->load()) {
    report.stopped = true;
    return report;
  }
  storage::WriteReport(options.to, options.split, report.left_out, refused ? "refused" : "left out",
                       report.ignored);
  if (refused) FailOnBadFiles(report.left_out, options, plan.files.size());

  storage::SplitInfo split = conversion.Describe(manifest.classes);
  if (split.records == 0) {
    Fail("none of the {} files can be used; {} says why", FormatCount(plan.files.size()),
         (options.to / "report.json").string());
  }
  report.records = split.records;
  report.fingerprint = split.fingerprint;
  for (const auto& shard : split.shards) report.bytes += shard.bytes;
  manifest.tool_version = BuildVersion();
  manifest.splits[options.split] = std::move(split);
  WriteFileAtomically(storage::ManifestPath(options.to), storage::ManifestText(manifest));
  for (const auto& path : OwnFiles(options.to, options.split, OwnFile::kSummary)) RemoveFile(path);
  return report;
}

}  // namespace millrace::pipeline
