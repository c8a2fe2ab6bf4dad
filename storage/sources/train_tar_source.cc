#include "storage/sources/train_tar_source.h"

#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "storage/record.h"
#include "storage/sources/class_id.h"
#include "storage/sources/parts.h"
#include "storage/sources/source_identity.h"
#include "storage/sources/tar_member.h"
#include "storage/sources/tar_reader.h"

namespace millrace::storage {
namespace {

// One class: a tar within the tar.
struct ClassTar {
  std::string class_id;
  std::string name;          // of the member
  std::uint64_t offset = 0;  // in the file
  std::uint64_t bytes = 0;
};

class TrainTarSource : public SampleSource {
 public:
  TrainTarSource(SourceFacts facts, IgnoredFiles ignored, std::shared_ptr<const InputFile> file,
                 std::vector<ClassTar> classes, IndexRange run)
      : SampleSource(std::move(facts), std::move(ignored)),
        file_(std::move(file)),
        classes_(std::move(classes)),
        class_(run.begin),
        end_(run.end) {}

  std::optional<SourceItem> Next(const Wanted& wanted) override {
    while (class_ < end_) {
      const ClassTar& current = classes_[class_];
      if (!reader_) Enter(current);
      const auto member = reader_->Next();
      if (!member) {
        Leave(current);
        continue;
      }
      const std::uint64_t position = PiecePosition(class_, members_++);
      if (const auto reason = WhyNoPicture(*member)) {
        Ignore(MemberOrigin(*reader_, *member) + *reason);
        continue;
      }
      ++pictures_;
      if (!wanted(position)) continue;
      SourceItem item = MakeItem(*reader_, *member);
      item.position = position;
      item.class_id = current.class_id;
      item.path = current.class_id + "/" + std::string(member->base_name());
      return item;
    }
    return std::nullopt;
  }

  std::uint64_t passed_bytes() const override {
    return passed_ + (reader_ ? reader_->position() - classes_[class_].offset : 0);
  }

 private:
  void Enter(const ClassTar& current) {
    reader_.emplace(file_, current.offset, current.bytes,
                    file_->path().string() + ": " + current.name);
    members_ = 0;
    pictures_ = 0;
  }

  void Leave(const ClassTar& current) {
    if (pictures_ == 0) Fail("{} holds no pictures", reader_->name());
    reader_.reset();
    passed_ += current.bytes;
    ++class_;
  }

  std::shared_ptr<const InputFile> file_;
  std::vector<ClassTar> classes_;  // of all parts
  std::size_t class_;              // the current one
  std::size_t end_;                // of this part
  std::optional<TarReader> reader_;
  std::uint64_t members_ = 0;   // of the current class, so far
  std::uint64_t pictures_ = 0;  // among them
  std::uint64_t passed_ = 0;    // [bytes] of the classes before
};

}  // namespace

std::unique_ptr<SampleSource> OpenTrainTar(const std::shared_ptr<const InputFile>& file,
                                           const ClassNames& names, SourcePart part) {
  TarReader reader(file);
  RefuseCompressed(reader);
  std::vector<ClassTar> classes;
  std::vector<std::uint64_t> sizes;
  IgnoredFiles ignored;
  std::set<std::string> ids;
  constexpr std::string_view kSuffix = ".tar";
  while (const auto member = reader.Next()) {
    std::string_view id = member->base_name();
    if (!member->oddity.empty() || id.starts_with('.') || !id.ends_with(kSuffix)) {
      if (part.index == 0) {
        ignored.Add(MemberOrigin(reader, *member) + WhyNoPicture(*member).value_or(""));
      }
      continue;
    }
    id.remove_suffix(kSuffix.size());
    if (!IsClassId(id)) {
      Fail(
          "{}: the name of {} is no class id in UTF-8, as the manifest needs it; unpack the "
          "archive into class folders and rename that one",
          reader.name(), member->name);
    }
    if (!ids.insert(std::string(id)).second) {
      Fail("{} holds the class {} twice", reader.name(), id);
    }
    classes.push_back({.class_id = std::string(id),
                       .name = member->name,
                       .offset = member->offset,
                       .bytes = member->bytes});
    sizes.push_back(member->bytes);
  }
  SourceFacts facts{.kind = "ImageNet training tar",
                    .identity = 0,
                    .total_bytes = 0,
                    .class_names = names,
                    .class_ids = {ids.begin(), ids.end()}};
  SourceIdentity identity(facts.kind);
  identity.AddFile(file->path().filename().native(), file->size(), file->modified_ns());
  facts.identity = identity.Digest();
  const IndexRange run = BalancedRun(sizes, part);
  for (std::size_t i = run.begin; i < run.end; ++i) facts.total_bytes += sizes[i];
  return std::make_unique<TrainTarSource>(std::move(facts), std::move(ignored), file,
                                          std::move(classes), run);
}

}  // namespace millrace::storage
