#include "model/checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"

namespace millrace::model {
namespace {

constexpr std::string_view kAveragePrefix = "ema.";
constexpr std::string_view kOptimizerPrefix = "optimizer.";
constexpr std::string_view kScalerPrefix = "scaler.";
constexpr std::string_view kVersionKey = "millrace.checkpoint";
constexpr std::string_view kHashKey = "millrace.hash";
constexpr std::string_view kVersion = "1";
constexpr std::string_view kStem = "step-";
constexpr std::string_view kExtension = ".safetensors";

// Over all tensors and the metadata. Independent of the order, which a file may change.
// REQUIRES: contiguous CPU tensors
std::string HashContents(std::span<const NamedTensor> tensors,
                         const std::map<std::string, std::string>& metadata) {
  Hasher hasher;
  const auto add_text = [&](std::string_view text) {
    hasher.AddU64(text.size());
    hasher.Add(text);
  };
  for (const auto& [key, value] : metadata) {
    add_text(key);
    add_text(value);
  }
  AddTensors(tensors, &hasher);
  return HashToHex(hasher.Digest());
}

// The step in "step-00001234.safetensors", nothing for other names.
std::optional<std::int64_t> StepOf(std::string_view name) {
  if (!name.starts_with(kStem) || !name.ends_with(kExtension)) return std::nullopt;
  name.remove_prefix(kStem.size());
  name.remove_suffix(kExtension.size());
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  if (error != std::errc() || end != name.data() + name.size() || step < 0) return std::nullopt;
  return step;
}

struct StepFile {
  std::int64_t step = 0;
  std::filesystem::path path;
};

// "step-*.safetensors" in the folder, newest first; what interrupted writes left goes to `torn`.
std::vector<StepFile> ListSteps(const std::filesystem::path& folder,
                                std::vector<std::filesystem::path>* torn = nullptr) {
  std::vector<StepFile> files;
  std::error_code code;
  if (!std::filesystem::exists(folder, code)) return files;
  auto at = std::filesystem::directory_iterator(folder, code);
  for (; !code && at != std::filesystem::directory_iterator(); at.increment(code)) {
    const std::filesystem::path& path = at->path();
    if (const auto step = StepOf(path.filename().string())) {
      files.push_back({*step, path});
    } else if (torn != nullptr && path.extension() == ".tmp" && StepOf(path.stem().string())) {
      torn->push_back(path);
    }
  }
  if (code) Fail("cannot list the folder {}: {}", folder.string(), code.message());
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) {
    return std::pair(a.step, a.path) > std::pair(b.step, b.path);
  });
  return files;
}

}  // namespace

void WriteCheckpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  std::vector<NamedTensor> tensors;
  const auto add = [&](std::string_view prefix, const std::vector<NamedTensor>& list) {
    for (NamedTensor& entry : ToHost(list)) {
      tensors.push_back({fmt::format("{}{}", prefix, entry.name), std::move(entry.tensor)});
    }
  };
  for (const NamedTensor& entry : checkpoint.weights) {
    MILLRACE_CHECK(!entry.name.starts_with(kAveragePrefix) &&
                   !entry.name.starts_with(kOptimizerPrefix) &&
                   !entry.name.starts_with(kScalerPrefix));
  }
  add("", checkpoint.weights);
  add(kAveragePrefix, checkpoint.average);
  add(kOptimizerPrefix, checkpoint.optimizer);
  add(kScalerPrefix, checkpoint.scaler);
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : checkpoint.metadata) metadata.emplace(AsUtf8(key), AsUtf8(value));
  metadata.insert_or_assign(std::string(kHashKey), HashContents(tensors, metadata));
  metadata.insert_or_assign(std::string(kVersionKey), std::string(kVersion));
  WriteSafetensors(path, tensors, metadata);
}

std::vector<std::string> DifferingWeights(const Checkpoint& a, const Checkpoint& b) {
  std::vector<std::string> names;
  const auto add = [&names](std::string_view prefix, const std::vector<NamedTensor>& of_a,
                            const std::vector<NamedTensor>& of_b) {
    std::map<std::string_view, const NamedTensor*> others;
    for (const NamedTensor& entry : of_b) others.emplace(entry.name, &entry);
    for (const NamedTensor& entry : of_a) {
      const auto other = others.extract(entry.name);
      if (other.empty() || HashTensors({&entry, 1}) != HashTensors({other.mapped(), 1})) {
        names.push_back(fmt::format("{}{}", prefix, entry.name));
      }
    }
    for (const auto& [name, entry] : others) names.push_back(fmt::format("{}{}", prefix, name));
  };
  add("", a.weights, b.weights);
  add(kAveragePrefix, a.average, b.average);
  return names;
}

bool IsCheckpoint(const TensorFile& file) {
  return file.metadata.contains(std::string(kVersionKey));
}

Checkpoint SplitCheckpoint(TensorFile file, const std::filesystem::path& path) {
  Checkpoint checkpoint;
  checkpoint.metadata = std::move(file.metadata);
  const auto version = checkpoint.metadata.extract(std::string(kVersionKey));
  if (version.empty()) Fail("{}: not a checkpoint of millrace", path.string());
  if (version.mapped() != kVersion) {
    Fail("{}: a checkpoint of format {}; this program reads format {}", path.string(),
         version.mapped(), kVersion);
  }
  const auto hash = checkpoint.metadata.extract(std::string(kHashKey));
  if (hash.empty() || hash.mapped() != HashContents(file.tensors, checkpoint.metadata)) {
    Fail("{}: damaged: its contents are not those that were written", path.string());
  }
  const std::array<std::pair<std::string_view, std::vector<NamedTensor>*>, 3> parts = {
      {{kAveragePrefix, &checkpoint.average},
       {kOptimizerPrefix, &checkpoint.optimizer},
       {kScalerPrefix, &checkpoint.scaler}}};
  for (NamedTensor& entry : file.tensors) {
    std::vector<NamedTensor>* part = &checkpoint.weights;
    for (const auto& [prefix, list] : parts) {
      if (!entry.name.starts_with(prefix)) continue;
      entry.name.erase(0, prefix.size());
      part = list;
      break;
    }
    part->push_back(std::move(entry));
  }
  return checkpoint;
}

Checkpoint ReadCheckpoint(const std::filesystem::path& path) {
  return SplitCheckpoint(ReadSafetensors(path), path);
}

std::filesystem::path CheckpointPath(const std::filesystem::path& folder, std::int64_t step) {
  return folder / fmt::format("{}{:08}{}", kStem, step, kExtension);
}

CheckpointSearch FindNewestCheckpoint(const std::filesystem::path& folder) {
  CheckpointSearch search;
  for (const StepFile& file : ListSteps(folder)) {
    try {
      search.newest = FoundCheckpoint{file.path, file.step, ReadCheckpoint(file.path)};
      return search;
    } catch (const Error& error) {
      search.skipped.emplace_back(error.what());
    }
  }
  return search;
}

std::vector<std::filesystem::path> SetAsideNewer(const std::filesystem::path& folder,
                                                 std::int64_t step) {
  std::vector<std::filesystem::path> renamed;
  for (const StepFile& file : ListSteps(folder)) {
    if (file.step <= step) break;
    renamed.push_back(folder / ("superseded-" + file.path.filename().string()));
    std::error_code code;
    std::filesystem::rename(file.path, renamed.back(), code);
    if (code) Fail("cannot rename {}: {}", file.path.string(), code.message());
  }
  if (!renamed.empty()) SyncFolder(folder);
  return renamed;
}

void PruneCheckpoints(const std::filesystem::path& folder, std::size_t keep) {
  MILLRACE_CHECK(keep >= 1);
  std::vector<std::filesystem::path> doomed;
  const std::vector<StepFile> files = ListSteps(folder, &doomed);
  for (std::size_t i = keep; i < files.size(); ++i) doomed.push_back(files[i].path);
  for (const std::filesystem::path& path : doomed) {
    std::error_code code;
    std::filesystem::remove(path, code);
    if (code) Fail("cannot remove {}: {}", path.string(), code.message());
  }
}

}  // namespace millrace::model
