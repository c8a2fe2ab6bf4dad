#include "storage/sources/val_tar_source.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "storage/record.h"
#include "storage/sources/parts.h"
#include "storage/sources/source_identity.h"
#include "storage/sources/tar_member.h"
#include "storage/sources/tar_reader.h"

namespace millrace::storage {
namespace {

struct Picture {
  std::string name;  // of the member
  std::string class_id;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

std::string_view BaseName(const Picture& picture) {
  return std::string_view(picture.name).substr(picture.name.rfind('/') + 1);
}

class ValTarSource : public SampleSource {
 public:
  ValTarSource(SourceFacts facts, IgnoredFiles ignored, std::shared_ptr<const InputFile> file,
               std::vector<Picture> pictures, std::uint64_t begin)
      : SampleSource(std::move(facts), std::move(ignored)),
        file_(std::move(file)),
        pictures_(std::move(pictures)),
        begin_(begin) {}

  std::optional<SourceItem> Next(const Wanted& wanted) override {
    while (next_ < pictures_.size()) {
      const std::uint64_t position = begin_ + next_;
      const Picture& picture = pictures_[next_++];
      passed_ += picture.bytes;
      if (!wanted(position)) continue;
      SourceItem item;
      item.position = position;
      item.class_id = picture.class_id;
      item.path = picture.class_id + "/" + std::string(BaseName(picture));
      item.origin = file_->path().string() + ": " + picture.name;
      item.bytes = picture.bytes;
      if (picture.bytes > kMaxPayloadBytes) {
        item.fault = TooLarge(picture.bytes);
      } else {
        item.content.resize(picture.bytes);
        if (file_->ReadAt(picture.offset, item.content) != picture.bytes) {
          Fail("{} was cut short while it was read, in {}", file_->path().string(), picture.name);
        }
      }
      return item;
    }
    return std::nullopt;
  }

  std::uint64_t passed_bytes() const override { return passed_; }

 private:
  std::shared_ptr<const InputFile> file_;
  std::vector<Picture> pictures_;  // of this part
  std::uint64_t begin_;            // position of the first of them
  std::size_t next_ = 0;
  std::uint64_t passed_ = 0;
};

// Gives every picture its class by the order of the names.
void Label(const Devkit& devkit, const std::string& archive, std::vector<Picture>& pictures) {
  std::vector<Picture*> sorted;
  for (auto& picture : pictures) sorted.push_back(&picture);
  std::sort(sorted.begin(), sorted.end(),
            [](const Picture* a, const Picture* b) { return BaseName(*a) < BaseName(*b); });
  std::vector<std::string> names;
  for (const Picture* picture : sorted) {
    names.emplace_back(BaseName(*picture));
    if (names.size() > 1 && names[names.size() - 2] == names.back()) {
      Fail("{} holds {} twice, so its labels are not certain", archive, names.back());
    }
  }
  auto labels = LabelPictures(devkit, names, archive);
  for (std::size_t i = 0; i < sorted.size(); ++i) sorted[i]->class_id = std::move(labels[i]);
}

}  // namespace

std::unique_ptr<SampleSource> OpenValTar(const std::shared_ptr<const InputFile>& file,
                                         const Devkit& devkit, const ClassNames& names,
                                         SourcePart part) {
  TarReader reader(file);
  RefuseCompressed(reader);
  std::vector<Picture> pictures;
  IgnoredFiles ignored;
  while (const auto member = reader.Next()) {
    if (const auto reason = WhyNoPicture(*member)) {
      if (part.index == 0) ignored.Add(MemberOrigin(reader, *member) + *reason);
      continue;
    }
    pictures.push_back(
        {.name = member->name, .class_id = {}, .offset = member->offset, .bytes = member->bytes});
  }
  Label(devkit, reader.name(), pictures);
  SourceFacts facts{.kind = "ImageNet validation tar",
                    .identity = 0,
                    .total_bytes = 0,
                    .class_names = names,
                    .class_ids = {}};
  std::set<std::string> ids;
  for (const auto& picture : pictures) ids.insert(picture.class_id);
  facts.class_ids.assign(ids.begin(), ids.end());
  SourceIdentity identity(facts.kind);
  identity.AddFile(file->path().filename().native(), file->size(), file->modified_ns());
  for (const auto& picture : pictures) identity.AddText(picture.class_id);
  facts.identity = identity.Digest();
  const IndexRange run = EqualRun(pictures.size(), part);
  pictures.erase(pictures.begin() + static_cast<std::ptrdiff_t>(run.end), pictures.end());
  pictures.erase(pictures.begin(), pictures.begin() + static_cast<std::ptrdiff_t>(run.begin));
  for (const auto& picture : pictures) facts.total_bytes += picture.bytes;
  return std::make_unique<ValTarSource>(std::move(facts), std::move(ignored), file,
                                        std::move(pictures), run.begin);
}

}  // namespace millrace::storage
