#include "storage/sources/open_source.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "storage/sources/brace_pattern.h"
#include "storage/sources/class_list.h"
#include "storage/sources/devkit.h"
#include "storage/sources/folder_source.h"
#include "storage/sources/input_file.h"
#include "storage/sources/tar_member.h"
#include "storage/sources/tar_reader.h"
#include "storage/sources/train_tar_source.h"
#include "storage/sources/val_tar_source.h"
#include "storage/sources/webdataset_source.h"

namespace millrace::storage {
namespace {

namespace fs = std::filesystem;

enum class TarKind : std::uint8_t { kTrain, kVal, kWebdataset };

// What kind of tar it is, from its first members.
TarKind SniffTar(const std::shared_ptr<const InputFile>& file) {
  constexpr int kMembers = 16;
  TarReader reader(file);
  std::string first;
  bool pictures = false;
  for (int seen = 0; seen < kMembers;) {
    const auto member = reader.Next();
    if (!member) break;
    if (!member->oddity.empty() || member->base_name().starts_with('.')) continue;
    ++seen;
    if (first.empty()) first = member->name;
    if (member->base_name().ends_with(".tar")) return TarKind::kTrain;
    const std::string extension = SplitSampleName(member->name).extension;
    if (extension == "cls" || extension == "json") return TarKind::kWebdataset;
    pictures = pictures || !WhyNoPicture(*member);
  }
  if (pictures) return TarKind::kVal;
  Fail(
      "{} holds nothing that is known: neither class tars (ILSVRC2012_img_train.tar) nor pictures "
      "(ILSVRC2012_img_val.tar, WebDataset){}",
      reader.name(), first.empty() ? "; it is empty" : "; it begins with " + first);
}

bool IsTarName(const fs::path& path) {
  const std::string& name = path.native();
  return name.ends_with(".tar") || name.ends_with(".tar.gz") || name.ends_with(".tgz");
}

// What a folder holds, hidden entries aside, sorted by name.
struct FolderContent {
  bool folders = false;
  std::vector<fs::path> tars;
  std::vector<fs::path> others;
};

FolderContent LookInto(const fs::path& folder) {
  FolderContent content;
  std::error_code code;
  for (fs::directory_iterator at(folder, code), end; !code && at != end; at.increment(code)) {
    const fs::path& path = at->path();
    std::error_code ignored;
    if (path.filename().native().starts_with('.')) continue;
    if (fs::is_directory(path, ignored)) content.folders = true;
    (IsTarName(path) ? content.tars : content.others).push_back(path);
  }
  if (code) Fail("cannot read the folder {}: {}", folder.string(), code.message());
  std::sort(content.tars.begin(), content.tars.end());
  std::sort(content.others.begin(), content.others.end());
  return content;
}

// The name without its digits: the same for all tars of one set.
std::string SetName(const fs::path& tar) {
  std::string name = tar.filename().string();
  std::erase_if(name, [](char c) { return c >= '0' && c <= '9'; });
  return name;
}

// A download often holds the tars of all splits in one folder.
void RefuseMixedSets(const fs::path& folder, const std::vector<fs::path>& tars) {
  for (const fs::path& tar : tars) {
    if (SetName(tar) == SetName(tars.front())) continue;
    FailUsage(
        "{} holds tars of several sets ({}, {}); name one set, as in {}/train-{{000..127}}.tar",
        folder.string(), tars.front().filename().string(), tar.filename().string(),
        folder.string());
  }
}

class Opener {
 public:
  explicit Opener(const SourceOptions& options) : options_(options) {
    if (!options.devkit.empty()) devkit_ = ReadDevkit(options.devkit);
    names_ = devkit_.classes.names;
    classes_ = devkit_.classes;
    if (options.classes.empty()) return;
    classes_ = ReadClassList(options.classes);
    for (const auto& [id, name] : classes_.names) names_[id] = name;
  }

  std::unique_ptr<SampleSource> Folder(const fs::path& folder) const {
    const FolderContent content = LookInto(folder);
    if (content.folders || content.tars.empty())
      return OpenFolder(folder, classes_, names_, options_.part);
    const auto first = std::make_shared<const InputFile>(content.tars.front());
    if (SniffTar(first) != TarKind::kWebdataset) {
      FailUsage("{} holds tars that are no WebDataset; name the one to convert, as in --from {}",
                folder.string(), content.tars.front().string());
    }
    RefuseMixedSets(folder, content.tars);
    IgnoredFiles ignored;
    if (options_.part.index == 0) {
      for (const fs::path& other : content.others) ignored.Add(other.string());
    }
    return OpenWebdataset(content.tars, classes_, names_, std::move(ignored), options_.part);
  }

  std::unique_ptr<SampleSource> Tars(const std::vector<fs::path>& tars) const {
    std::error_code code;
    for (const fs::path& tar : tars) {
      if (!fs::exists(tar, code)) FailUsage("there is no file {}", tar.string());
    }
    const auto first = std::make_shared<const InputFile>(tars.front());
    const TarKind kind = SniffTar(first);
    if (kind == TarKind::kWebdataset) {
      return OpenWebdataset(tars, classes_, names_, {}, options_.part);
    }
    if (tars.size() > 1) {
      FailUsage("{} is no WebDataset tar; name other tars one by one", tars.front().string());
    }
    if (kind == TarKind::kTrain) return OpenTrainTar(first, names_, options_.part);
    if (options_.devkit.empty()) {
      FailUsage(
          "{} holds pictures without their classes; for ILSVRC2012_img_val.tar give --devkit "
          "ILSVRC2012_devkit_t12.tar.gz, and unpack a tar of class folders",
          tars.front().string());
    }
    return OpenValTar(first, devkit_, names_, options_.part);
  }

 private:
  const SourceOptions& options_;
  Devkit devkit_;
  ClassList classes_;  // what class numbers mean
  ClassNames names_;
};

}  // namespace

std::unique_ptr<SampleSource> OpenSource(const std::string& source, const SourceOptions& options) {
  MILLRACE_CHECK(options.part.index < options.part.count);
  const fs::path path(source);
  const Opener opener(options);
  std::error_code code;
  if (fs::is_directory(path, code)) return opener.Folder(path);
  if (fs::exists(path, code)) return opener.Tars({path});
  const auto names = ExpandBraces(source);
  if (names.size() == 1) FailUsage("there is no file or folder {}", names.front());
  return opener.Tars({names.begin(), names.end()});
}

}  // namespace millrace::storage
