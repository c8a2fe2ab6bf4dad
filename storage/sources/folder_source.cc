#include "storage/sources/folder_source.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "storage/image_folder.h"
#include "storage/record.h"
#include "storage/sources/class_id.h"
#include "storage/sources/parts.h"
#include "storage/sources/source_identity.h"

namespace millrace::storage {
namespace {

class FolderSource : public SampleSource {
 public:
  // `classes`: the ids of the folder's classes, in their order.
  FolderSource(SourceFacts facts, IgnoredFiles ignored, ImageFolder folder,
               std::vector<std::string> classes, IndexRange run)
      : SampleSource(std::move(facts), std::move(ignored)),
        root_(std::move(folder.root)),
        classes_(std::move(classes)),
        begin_(run.begin) {
    const auto from = folder.files.begin();
    files_.assign(std::make_move_iterator(from + static_cast<std::ptrdiff_t>(run.begin)),
                  std::make_move_iterator(from + static_cast<std::ptrdiff_t>(run.end)));
  }

  std::optional<SourceItem> Next(const Wanted& wanted) override {
    while (next_ < files_.size()) {
      const std::uint64_t position = begin_ + next_;
      SourceFile& file = files_[next_++];
      passed_ += file.bytes;
      if (!wanted(position)) continue;
      SourceItem item;
      item.position = position;
      item.class_id = classes_[file.label];
      item.file = root_ / file.path;
      item.origin = item.file.string();
      item.path = item.class_id + file.path.substr(file.path.find('/'));
      item.bytes = file.bytes;
      if (file.bytes > kMaxPayloadBytes) item.fault = TooLarge(file.bytes);
      return item;
    }
    return std::nullopt;
  }

  std::uint64_t passed_bytes() const override { return passed_; }

 private:
  std::filesystem::path root_;
  std::vector<std::string> classes_;
  std::vector<SourceFile> files_;  // of this part
  std::uint64_t begin_;            // position of the first of them
  std::size_t next_ = 0;
  std::uint64_t passed_ = 0;
};

bool AreNumbersOf(const std::vector<std::string>& folders, const ClassList& classes) {
  const auto is_number = [&](const std::string& name) {
    return IsNumber(name) && !classes.names.contains(name);
  };
  return !classes.ids.empty() && std::all_of(folders.begin(), folders.end(), is_number);
}

// What folders named by numbers hold, in their order.
std::vector<std::string> IdsOfNumbers(const ImageFolder& folder, const ClassList& classes) {
  std::map<std::string, std::string> folder_of;
  std::vector<std::string> ids;
  for (const std::string& name : folder.classes) {
    std::size_t number = 0;
    const auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (code != std::errc() || number >= classes.ids.size()) {
      Fail("there is a class folder {}, but {} lists {} classes, numbered from 0",
           (folder.root / name).string(), classes.origin, FormatCount(classes.ids.size()));
    }
    ids.push_back(classes.ids[number]);
    const auto [other, is_new] = folder_of.emplace(ids.back(), name);
    if (!is_new) {
      Fail("the class folders {} and {} mean the same class, {}",
           (folder.root / other->second).string(), (folder.root / name).string(), ids.back());
    }
  }
  return ids;
}

}  // namespace

std::unique_ptr<SampleSource> OpenFolder(const std::filesystem::path& root,
                                         const ClassList& classes, const ClassNames& names,
                                         SourcePart part) {
  ImageFolder folder = ListImageFolder(root);
  const bool numbered = AreNumbersOf(folder.classes, classes);
  std::vector<std::string> ids = numbered ? IdsOfNumbers(folder, classes) : folder.classes;
  SourceFacts facts{.kind = "image folder",
                    .identity = 0,
                    .total_bytes = 0,
                    .class_names = names,
                    .class_ids = ids};
  std::sort(facts.class_ids.begin(), facts.class_ids.end());
  SourceIdentity identity(facts.kind);
  if (numbered) {
    for (const std::string& id : ids) identity.AddText(id);
  }
  for (const SourceFile& file : folder.files) {
    identity.AddFile(file.path, file.bytes, file.modified_ns);
  }
  facts.identity = identity.Digest();
  const IndexRange run = EqualRun(folder.files.size(), part);
  for (std::size_t i = run.begin; i < run.end; ++i) facts.total_bytes += folder.files[i].bytes;
  IgnoredFiles ignored;
  if (part.index == 0) {
    for (const auto& name : folder.ignored) ignored.Add((root / name).string());
  }
  return std::make_unique<FolderSource>(std::move(facts), std::move(ignored), std::move(folder),
                                        std::move(ids), run);
}

}  // namespace millrace::storage
