#include "pipeline/convert.h"

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "base/build_info.h"
#include "base/error.h"
#include "base/file.h"
#include "base/folder_lock.h"
#include "base/format.h"
#include "pipeline/convert_part.h"
#include "pipeline/convert_plan.h"
#include "pipeline/convert_shards.h"
#include "storage/conversion/spool.h"
#include "storage/manifest.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
using storage::ListedFile;
using storage::Manifest;
using storage::PartSummary;
using storage::SourcePart;

constexpr std::size_t kListedFaults = 10;

// Where and how a split is made.
struct Target {
  fs::path to;
  std::string split;
  std::uint32_t shards = 0;  // as asked for
  int jobs = 0;
  const std::atomic<bool>* stop = nullptr;

  fs::path work() const { return storage::WorkFolder(to, split); }
};

std::vector<std::string> ClassIds(const Manifest& manifest) {
  std::vector<std::string> ids;
  for (const auto& info : manifest.classes) ids.push_back(info.id);
  return ids;
}

// Throws when the manifest has classes and one of `ids` is not among them.
void CheckClasses(const std::vector<std::string>& ids, const std::string& origin,
                  const Manifest& manifest, const fs::path& dataset) {
  if (manifest.classes.empty()) return;
  const auto known = ClassIds(manifest);
  for (const auto& id : ids) {
    if (std::binary_search(known.begin(), known.end(), id)) continue;
    Fail(
        "the class \"{}\" of {} is not among the {} classes of {}; splits of one dataset share "
        "their classes, so convert the one that has them all first",
        id, origin, known.size(), storage::ManifestPath(dataset).string());
  }
}

void CheckClassCount(const std::vector<std::string>& ids, const std::string& origin) {
  if (ids.size() != 1) return;
  Fail("{} has a single class, \"{}\"; a classifier needs two at least", origin, ids.front());
}

// What is there of a finished split. Throws when it is not what the plan would make.
ConvertReport CheckFinished(const Target& target, const Manifest& manifest, std::uint64_t plan) {
  const storage::SplitInfo& split = manifest.splits.at(target.split);
  const auto path = storage::ManifestPath(target.to).string();
  if (split.conversion.plan != plan) {
    Fail(
        "{} already holds the split \"{}\", made from other files or with other options; convert "
        "into another folder, or remove this one first",
        path, target.split);
  }
  ConvertReport report{.nothing_to_do = true,
                       .records = split.records,
                       .shards = split.shards.size(),
                       .shards_kept = split.shards.size(),
                       .classes = manifest.classes.size(),
                       .fingerprint = split.fingerprint,
                       .left_out = split.conversion.left_out,
                       .ignored = {}};
  for (const auto& shard : split.shards) {
    std::error_code code;
    if (fs::file_size(target.to / shard.file, code) != shard.bytes || code) {
      Fail(
          "{} is missing or has another size than {} says; restore it, or remove {} to convert "
          "again",
          (target.to / shard.file).string(), path, path);
    }
    report.bytes += shard.bytes;
  }
  // Left by a run that was killed right after it wrote the manifest.
  RemoveLeftovers(target.to, target.split);
  fs::remove_all(target.work());
  return report;
}

// The bad files of all parts, sorted.
std::vector<ListedFile> BadFiles(const std::vector<CompletePart>& parts, const char* action) {
  std::vector<ListedFile> bad;
  std::vector<std::byte> buffer;
  for (const auto& part : parts) {
    if (part.summary.left_out == 0) continue;
    const storage::SpoolReader reader(storage::LeftOutPath(part.folder));
    reader.List([&](const storage::FramePlace& frame) {
      const auto entry = reader.Read(frame, &buffer);
      bad.push_back(
          {.file = std::string(entry.origin), .fault = std::string(entry.found), .action = action});
    });
  }
  storage::SortByFile(&bad);
  return bad;
}

[[noreturn]] void FailOnBadFiles(const std::vector<ListedFile>& bad, const fs::path& dataset,
                                 std::uint64_t total) {
  std::string list;
  for (std::size_t i = 0; i < std::min(bad.size(), kListedFaults); ++i) {
    list += fmt::format("\n  {}: {}", bad[i].file, bad[i].fault);
  }
  if (bad.size() > kListedFaults) {
    list += fmt::format("\n  and {} more, listed in {}", FormatCount(bad.size() - kListedFaults),
                        (dataset / "report.json").string());
  }
  Fail(
      "{} of {} files cannot be used; mend or remove them, or convert with --on-bad repair or "
      "skip{}",
      FormatCount(bad.size()), FormatCount(total), list);
}

// What all parts hold together.
struct Totals {
  std::uint64_t files = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t left_out = 0;
  std::uint64_t records = 0;
  std::uint64_t record_bytes = 0;
  std::vector<std::string> class_ids;
  storage::ClassNames class_names;
  std::vector<std::string> ignored;
};

Totals AddUp(const std::vector<CompletePart>& parts) {
  Totals totals;
  std::set<std::string> ids;
  for (const auto& [folder, part] : parts) {
    totals.files += part.files;
    totals.bytes_in += part.bytes_in;
    totals.left_out += part.left_out;
    totals.records += part.records;
    totals.record_bytes += part.record_bytes;
    ids.insert(part.class_ids.begin(), part.class_ids.end());
    totals.class_names.insert(part.class_names.begin(), part.class_names.end());
    totals.ignored.insert(totals.ignored.end(), part.ignored.begin(), part.ignored.end());
  }
  totals.class_ids.assign(ids.begin(), ids.end());
  return totals;
}

// The manifest's classes: those of its other splits, or those of these pictures; with names.
void SetClasses(const Totals& totals, Manifest* manifest) {
  if (manifest->classes.empty()) {
    for (const auto& id : totals.class_ids) manifest->classes.push_back({.id = id, .name = id});
  }
  for (auto& info : manifest->classes) {
    const auto name = totals.class_names.find(info.id);
    if (info.name == info.id && name != totals.class_names.end()) info.name = name->second;
  }
}

storage::SplitInfo DescribeSplit(const Target& target, const std::vector<CompletePart>& parts,
                                 const Manifest& manifest, std::uint64_t plan,
                                 const MadeShards& made) {
  storage::SplitInfo split{
      .records = 0, .fingerprint = 0, .shards = {}, .conversion = parts.front().summary.settings};
  split.conversion.plan = plan;
  for (const auto& part : parts) split.conversion.left_out += part.summary.left_out;
  storage::SplitFingerprint fingerprint(manifest.classes);
  for (std::size_t shard = 0; shard < made.summaries.size(); ++shard) {
    const auto& summary = made.summaries[shard];
    split.records += summary.facts.records;
    split.shards.push_back(
        {.file = storage::ShardFileName(target.split, shard, made.summaries.size()),
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

// The second half: from complete parts to a split in the manifest.
ConvertReport FinishSplit(const Target& target, const std::vector<CompletePart>& parts,
                          Manifest manifest, const ConvertCallback& progress) {
  Totals totals = AddUp(parts);
  const PartSummary& first = parts.front().summary;
  const bool is_refused = first.settings.on_bad == "fail" && totals.left_out > 0;
  storage::ConversionReport listed{.files = totals.files,
                                   .bytes_in = totals.bytes_in,
                                   .bad = BadFiles(parts, is_refused ? "refused" : "left out"),
                                   .changed = {},
                                   .ignored = totals.ignored};
  if (is_refused || totals.records == 0) {
    storage::WriteReport(target.to, target.split, listed);
    if (is_refused) FailOnBadFiles(listed.bad, target.to, totals.files);
    Fail("none of the {} files can be used; {} says why", FormatCount(totals.files),
         (target.to / "report.json").string());
  }
  SetClasses(totals, &manifest);
  CheckClasses(totals.class_ids, target.work().string(), manifest, target.to);
  if (manifest.classes.size() < 2) CheckClassCount(totals.class_ids, target.work().string());

  const std::uint64_t plan = HashShardPlan(first.plan, target.split, target.shards);
  const MadeShards made =
      MakeShards({.to = target.to,
                  .split = target.split,
                  .parts = parts,
                  .class_ids = ClassIds(manifest),
                  .plan = plan,
                  .shards = ChooseShards(target.shards, totals.records, totals.record_bytes),
                  .jobs = target.jobs,
                  .stop = target.stop},
                 progress);
  ConvertReport report{.stopped = made.stopped,
                       .shards_kept = made.kept,
                       .classes = manifest.classes.size(),
                       .left_out = totals.left_out,
                       .ignored = std::move(totals.ignored)};
  if (made.stopped) return report;

  storage::SplitInfo split = DescribeSplit(target, parts, manifest, plan, made);
  for (const auto& summary : made.summaries) {
    for (std::size_t i = 0; i < listed.repairs.size(); ++i) {
      listed.repairs[i] += summary.repairs[i];
    }
    listed.changed.insert(listed.changed.end(), summary.changed.begin(), summary.changed.end());
    listed.bytes_out += summary.facts.bytes;
  }
  listed.records = split.records;
  report.changed = listed.changed.size();
  report.records = split.records;
  report.shards = split.shards.size();
  report.bytes = listed.bytes_out;
  report.fingerprint = split.fingerprint;
  storage::WriteReport(target.to, target.split, std::move(listed));
  manifest.tool_version = BuildVersion();
  manifest.splits[target.split] = std::move(split);
  WriteFileAtomically(storage::ManifestPath(target.to), storage::ManifestText(manifest));
  RemoveLeftovers(target.to, target.split);
  fs::remove_all(target.work());
  return report;
}

// Whether an interrupted run has dealt these pictures to another number of shards and dropped
// spools since.
bool HasSpools(const Target& target, const std::vector<CompletePart>& parts) {
  const Totals totals = AddUp(parts);
  if (totals.records == 0) return true;
  return HasSpoolsForShards(
      {.to = target.to,
       .split = target.split,
       .parts = parts,
       .class_ids = {},
       .plan = HashShardPlan(parts.front().summary.plan, target.split, target.shards),
       .shards = ChooseShards(target.shards, totals.records, totals.record_bytes)});
}

PartWork MakePartWork(const ConvertOptions& options, const fs::path& folder,
                      const Manifest& manifest) {
  PartWork work{.sources = OpenSources(options),
                .folder = folder,
                .plan = 0,
                .settings = {},
                .known_classes = ClassIds(manifest),
                .known_from = storage::ManifestPath(options.to).string()};
  work.plan = HashPicturePlan(options, work.sources);
  work.settings = DescribeSettings(options);
  return work;
}

// A conversion without workers must not take over, nor remove, what workers have done.
void RefuseWorkers(const Target& target) {
  const auto parts = storage::ListParts(target.work());
  if (parts.empty() || parts.front().count == 1) return;
  Fail(
      "{} holds the work of {} workers; join it with --merge, or remove the folder to convert "
      "without them",
      target.work().string(), parts.front().count);
}

}  // namespace

ConvertReport Convert(const ConvertOptions& options, const ConvertCallback& progress) {
  CheckOptions(options);
  const Target target{options.to, options.split, options.shards, options.jobs, options.stop};
  const SourcePart part = options.worker.value_or(SourcePart{});
  const fs::path folder = storage::PartFolder(target.work(), part);
  Manifest manifest = storage::ReadManifestIfAny(options.to).value_or(Manifest{});
  PartWork work = MakePartWork(options, folder, manifest);
  const auto known = KnownClasses(work.sources);
  if (manifest.classes.empty()) CheckClassCount(known, options.sources.front());
  CheckClasses(known, options.sources.front(), manifest, options.to);
  const std::uint64_t picture_plan = work.plan;

  // Workers share the dataset's folder; whoever makes shards has it alone.
  CreateFolders(options.to);
  std::optional<FolderLock> whole;
  if (!options.worker) {
    whole.emplace(options.to, "another conversion");
    // What was read before may be older than the lock.
    manifest = storage::ReadManifestIfAny(options.to).value_or(Manifest{});
  }
  if (manifest.splits.contains(options.split)) {
    return CheckFinished(target, manifest,
                         HashShardPlan(picture_plan, options.split, options.shards));
  }
  if (!options.worker) RefuseWorkers(target);
  CreateFolders(folder);
  std::uint64_t kept = 0;
  std::optional<PartSummary> summary;
  {
    const FolderLock lock(folder, "another conversion");
    summary = ConvertPart(options, std::move(work), progress, &kept);
    if (!summary) return {.stopped = true, .pictures_kept = kept};
    if (options.worker) {
      return {.is_part = true,
              .records = summary->records,
              .pictures_kept = kept,
              .classes = summary->class_ids.size(),
              .left_out = summary->left_out,
              .ignored = summary->ignored};
    }
  }
  const std::vector<CompletePart> parts = {{folder, *std::move(summary)}};
  if (!HasSpools(target, parts)) {
    fs::remove_all(target.work());
    whole.reset();
    return Convert(options, progress);
  }
  ConvertReport report = FinishSplit(target, parts, std::move(manifest), progress);
  report.pictures_kept = kept;
  return report;
}

ConvertReport MergeParts(const MergeOptions& options, const ConvertCallback& progress) {
  const Target target{options.to, options.split, options.shards, options.jobs, options.stop};
  CheckTarget(options.split, options.shards, options.jobs);
  const auto found = storage::ListParts(target.work());
  Manifest manifest = storage::ReadManifestIfAny(options.to).value_or(Manifest{});
  if (found.empty()) {
    const auto split = manifest.splits.find(options.split);
    if (split == manifest.splits.end()) {
      FailUsage("{} holds no work of workers; run `millrace convert --worker I/N` first",
                target.work().string());
    }
    return CheckFinished(target, manifest, split->second.conversion.plan);
  }
  const FolderLock lock(options.to, "another conversion");
  std::vector<CompletePart> parts;
  std::string missing;
  for (std::uint32_t i = 0; i < found.front().count; ++i) {
    const fs::path folder = storage::PartFolder(target.work(), {i, found.front().count});
    auto summary = storage::ReadPartSummary(folder);
    if (!summary) {
      missing += fmt::format("{}{}", missing.empty() ? "" : ", ", i);
    } else if (!parts.empty() && summary->plan != parts.front().summary.plan) {
      Fail(
          "{} and {} were made from other sources or with other options; run the one that is "
          "wrong again",
          parts.front().folder.string(), folder.string());
    } else {
      parts.push_back({folder, *std::move(summary)});
    }
  }
  if (!missing.empty()) {
    Fail("of {} workers these have not finished: {}; run them (again), then --merge",
         found.front().count, missing);
  }
  if (manifest.splits.contains(options.split)) {
    return CheckFinished(target, manifest,
                         HashShardPlan(parts.front().summary.plan, options.split, options.shards));
  }
  if (!HasSpools(target, parts)) {
    Fail(
        "{} was dealt to another number of shards and is not whole any more; merge with the same "
        "--shards as before, or remove the folder and run the workers again",
        target.work().string());
  }
  return FinishSplit(target, parts, std::move(manifest), progress);
}

}  // namespace millrace::pipeline
