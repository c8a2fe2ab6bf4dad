#include "storage/sources/folder_source.h"

#include <utility>

#include "storage/image_folder.h"
#include "storage/record.h"
#include "storage/sources/parts.h"
#include "storage/sources/source_identity.h"

namespace millrace::storage {
namespace {

class FolderSource : public SampleSource {
 public:
  FolderSource(SourceFacts facts, IgnoredFiles ignored, ImageFolder folder, IndexRange run)
      : SampleSource(std::move(facts), std::move(ignored)),
        root_(std::move(folder.root)),
        classes_(std::move(folder.classes)),
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
      item.path = std::move(file.path);
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

}  // namespace

std::unique_ptr<SampleSource> OpenFolder(const std::filesystem::path& root, const ClassNames& names,
                                         SourcePart part) {
  ImageFolder folder = ListImageFolder(root);
  SourceFacts facts{.kind = "image folder",
                    .identity = 0,
                    .total_bytes = 0,
                    .class_names = names,
                    .class_ids = folder.classes};
  SourceIdentity identity(facts.kind);
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
                                        run);
}

}  // namespace millrace::storage
