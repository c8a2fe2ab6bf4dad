#include "pipeline/convert_plan.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "storage/sources/open_source.h"

namespace millrace::pipeline {
namespace {

constexpr std::uint32_t kMaxShards = 4096;
constexpr std::uint32_t kMaxWorkers = 4096;
constexpr int kMaxJobs = 1024;
// Enters the plan: raise it when the same sources would give other bytes than before.
constexpr std::uint64_t kPlanVersion = 2;

const char* Name(OnBad on_bad) {
  switch (on_bad) {
    case OnBad::kRepair:
      return "repair";
    case OnBad::kSkip:
      return "skip";
    case OnBad::kFail:
      return "fail";
  }
  return "";
}

std::string DescribeVariant(const PictureOptions& picture) {
  std::string text;
  if (picture.resize_short > 0) {
    text = fmt::format("shorter side {}, quality {}; ", picture.resize_short, picture.quality);
  } else if (picture.max_side > 0) {
    text = fmt::format("longer side {} at most, quality {}; ", picture.max_side, picture.quality);
  }
  return text + (picture.region_index ? "re-packed with region index" : "as it came");
}

}  // namespace

void CheckOptions(const ConvertOptions& options) {
  if (options.sources.empty()) FailUsage("no source to convert from");
  if (options.to.empty()) FailUsage("no dataset folder to convert to");
  CheckTarget(options.split, options.shards, options.jobs);
  if (options.picture.resize_short > 0 && options.picture.max_side > 0) {
    FailUsage("pictures are made smaller by their shorter side or by their longer one, not both");
  }
  if (options.worker && (options.worker->count < 1 || options.worker->count > kMaxWorkers ||
                         options.worker->index >= options.worker->count)) {
    FailUsage("there is no worker {} of {}; they are 0 to N-1 of N, and N is {} at most",
              options.worker->index, options.worker->count, kMaxWorkers);
  }
}

void CheckTarget(const std::string& split, std::uint32_t shards, int jobs) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  if (split.empty() || split.size() > 64 || !std::all_of(split.begin(), split.end(), allowed)) {
    FailUsage("\"{}\" cannot be a split's name; use letters, digits and _", split);
  }
  if (shards > kMaxShards) {
    FailUsage("{} shards are too many; the limit is {}", shards, kMaxShards);
  }
  if (jobs < 0 || jobs > kMaxJobs) {
    FailUsage("{} jobs are not possible; use 0 (one per core) to {}", jobs, kMaxJobs);
  }
}

std::vector<std::unique_ptr<storage::SampleSource>> OpenSources(const ConvertOptions& options) {
  std::vector<std::unique_ptr<storage::SampleSource>> sources;
  for (const std::string& source : options.sources) {
    sources.push_back(
        storage::OpenSource(source, {.devkit = options.devkit,
                                     .classes = options.classes,
                                     .part = options.worker.value_or(storage::SourcePart{})}));
  }
  return sources;
}

std::vector<std::string> KnownClasses(
    const std::vector<std::unique_ptr<storage::SampleSource>>& sources) {
  std::vector<std::string> known;
  for (const auto& source : sources) {
    const auto& ids = source->facts().class_ids;
    if (ids.empty()) return {};
    known.insert(known.end(), ids.begin(), ids.end());
  }
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  return known;
}

storage::ConversionInfo DescribeSettings(const ConvertOptions& options) {
  return {.seed = options.seed,
          .on_bad = Name(options.on_bad),
          .variant = DescribeVariant(options.picture),
          .left_out = 0,
          .plan = 0};
}

std::uint64_t HashPicturePlan(const ConvertOptions& options,
                              const std::vector<std::unique_ptr<storage::SampleSource>>& sources) {
  Hasher hasher;
  const auto add_text = [&](std::string_view text) {
    hasher.AddU64(text.size());
    hasher.Add(text);
  };
  hasher.AddU64(kPlanVersion);
  hasher.AddU64(options.seed);
  add_text(Name(options.on_bad));
  add_text(DescribeVariant(options.picture));
  hasher.AddU64(sources.size());
  for (const auto& source : sources) hasher.AddU64(source->facts().identity);
  return hasher.Digest();
}

std::uint64_t HashShardPlan(std::uint64_t picture_plan, const std::string& split,
                            std::uint32_t shards) {
  Hasher hasher;
  hasher.AddU64(picture_plan);
  hasher.AddU64(storage::kFormatVersion);
  hasher.AddU64(static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));  // LMDB's, too
  hasher.AddU64(split.size());
  hasher.Add(split);
  hasher.AddU64(shards);
  return hasher.Digest();
}

}  // namespace millrace::pipeline
