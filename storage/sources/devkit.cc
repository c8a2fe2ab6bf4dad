#include "storage/sources/devkit.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "storage/sources/class_id.h"
#include "storage/sources/input_file.h"
#include "storage/sources/synsets.h"
#include "storage/sources/tar_reader.h"
#include "storage/sources/text_lines.h"

namespace millrace::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMetaName = "meta.mat";
constexpr std::string_view kTruthName = "ILSVRC2012_validation_ground_truth.txt";
// Both are below 1 MB.
constexpr std::uint64_t kMaxBytes = std::uint64_t{16} << 20;

// The two files of a devkit, however they are packed.
struct DevkitFiles {
  std::vector<std::byte> meta;
  std::string meta_origin;
  std::vector<std::byte> truth;
  std::string truth_origin;
};

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void RefuseLarge(const std::string& origin, std::uint64_t bytes) {
  if (bytes > kMaxBytes) Fail("{} has {}; it is no file of a devkit", origin, FormatBytes(bytes));
}

bool IsTar(const InputFile& file) {
  std::array<std::byte, 512> begin{};
  const std::size_t count = file.ReadAt(0, begin);
  constexpr std::size_t kMagicAt = 257;
  return (count >= 2 && begin[0] == std::byte{0x1F} && begin[1] == std::byte{0x8B}) ||
         (count == begin.size() && std::memcmp(begin.data() + kMagicAt, "ustar", 5) == 0);
}

DevkitFiles ReadPacked(std::shared_ptr<const InputFile> file) {
  TarReader reader(std::move(file));
  DevkitFiles files;
  while (const auto member = reader.Next()) {
    const bool meta = member->base_name() == kMetaName;
    if (!member->oddity.empty() || (!meta && member->base_name() != kTruthName)) continue;
    const std::string origin = reader.name() + ": " + member->name;
    RefuseLarge(origin, member->bytes);
    (meta ? files.meta : files.truth) = reader.Read();
    (meta ? files.meta_origin : files.truth_origin) = origin;
  }
  return files;
}

// Where in the folder that somebody names the two files may lie.
DevkitFiles ReadUnpacked(const fs::path& folder) {
  DevkitFiles files;
  const auto read = [&folder](std::string_view name, std::vector<std::byte>& content,
                              std::string& origin) {
    std::error_code code;
    for (const char* below : {"data", "", "ILSVRC2012_devkit_t12/data"}) {
      const fs::path path = folder / below / name;
      if (!fs::exists(path, code)) continue;
      const InputFile file(path);
      origin = path.string();
      RefuseLarge(origin, file.size());
      content.resize(file.size());
      content.resize(file.ReadAt(0, content));
      return;
    }
  };
  read(kMetaName, files.meta, files.meta_origin);
  read(kTruthName, files.truth, files.truth_origin);
  return files;
}

void UseFiles(const DevkitFiles& files, Devkit& devkit) {
  if (files.meta_origin.empty()) {
    Fail(
        "{} holds no {}, which says what the numbers of the devkit mean; give "
        "ILSVRC2012_devkit_t12.tar.gz or the folder unpacked from it",
        devkit.origin, kMetaName);
  }
  std::map<std::int64_t, std::string> ids;
  for (const Synset& synset : ParseSynsets(files.meta, files.meta_origin)) {
    ids[synset.number] = synset.id;
    devkit.classes.ids.push_back(synset.id);
    devkit.classes.names[synset.id] = synset.words;
  }
  std::sort(devkit.classes.ids.begin(), devkit.classes.ids.end());
  devkit.classes.origin = files.meta_origin;
  const auto lines = SplitLines(AsText(files.truth));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::int64_t number = 0;
    const char* end = lines[i].data() + lines[i].size();
    const auto [stopped, code] = std::from_chars(lines[i].data(), end, number);
    const auto found = ids.find(number);
    if (code != std::errc() || stopped != end || found == ids.end()) {
      Fail("{}, line {}: \"{}\" is not the ILSVRC2012_ID of a class in {}", files.truth_origin,
           i + 1, lines[i], files.meta_origin);
    }
    devkit.labels.push_back(found->second);
  }
}

void UseLines(const std::vector<std::string>& lines, Devkit& devkit) {
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::size_t blank = lines[i].find_last_of(" \t");
    const bool named = blank != std::string::npos;
    const std::string label = named ? lines[i].substr(blank + 1) : lines[i];
    if (IsNumber(label)) {
      Fail(
          "{}, line {}: \"{}\" is a number, and only the devkit says which class it means; give "
          "ILSVRC2012_devkit_t12.tar.gz, or class ids as in \"n01440764\"",
          devkit.origin, i + 1, label);
    }
    if (!IsClassId(label)) {
      Fail(
          "{}, line {}: no label; lines are expected as \"n01440764\" or "
          "\"ILSVRC2012_val_00000001.JPEG n01440764\"",
          devkit.origin, i + 1);
    }
    if (named ? !devkit.labels.empty() : !devkit.labels_by_name.empty()) {
      Fail("{}, line {}: lines with a name and lines without one are mixed", devkit.origin, i + 1);
    }
    if (!named) {
      devkit.labels.push_back(label);
    } else if (!devkit.labels_by_name.emplace(std::string(Trim(lines[i].substr(0, blank))), label)
                    .second) {
      Fail("{}, line {}: the picture is there twice", devkit.origin, i + 1);
    }
  }
  if (lines.empty()) Fail("{} holds no labels", devkit.origin);
}

}  // namespace

Devkit ReadDevkit(const fs::path& path) {
  Devkit devkit;
  devkit.origin = path.string();
  std::error_code code;
  if (!fs::exists(path, code)) FailUsage("there is no devkit {}", path.string());
  if (fs::is_directory(path, code)) {
    UseFiles(ReadUnpacked(path), devkit);
    return devkit;
  }
  auto file = std::make_shared<const InputFile>(path);
  if (IsTar(*file)) {
    UseFiles(ReadPacked(std::move(file)), devkit);
  } else {
    UseLines(ReadLines(path), devkit);
  }
  return devkit;
}

std::vector<std::string> LabelPictures(const Devkit& devkit, const std::vector<std::string>& names,
                                       const std::string& archive) {
  if (devkit.labels.empty() && devkit.labels_by_name.empty()) {
    Fail("{} holds no {}, so the pictures of {} have no labels", devkit.origin, kTruthName,
         archive);
  }
  if (devkit.labels_by_name.empty()) {
    if (devkit.labels.size() != names.size()) {
      Fail("{} has {} pictures, but {} has {} labels; they must be whole and of the same release",
           archive, FormatCount(names.size()), devkit.origin, FormatCount(devkit.labels.size()));
    }
    return devkit.labels;
  }
  std::vector<std::string> labels;
  labels.reserve(names.size());
  for (const std::string& name : names) {
    auto found = devkit.labels_by_name.find(name);
    if (found == devkit.labels_by_name.end()) {
      found = devkit.labels_by_name.find(name.substr(0, name.rfind('.')));
    }
    if (found == devkit.labels_by_name.end()) {
      Fail("{} has no label for {} of {}", devkit.origin, name, archive);
    }
    labels.push_back(found->second);
  }
  return labels;
}

}  // namespace millrace::storage
