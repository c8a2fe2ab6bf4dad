#include "storage/sources/webdataset_source.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "storage/sources/input_file.h"
#include "storage/sources/parts.h"
#include "storage/sources/source_identity.h"
#include "storage/sources/tar_member.h"
#include "storage/sources/tar_reader.h"
#include "storage/sources/webdataset_label.h"

namespace millrace::storage {
namespace {

namespace fs = std::filesystem;

// Whatever names a class is shorter.
constexpr std::uint64_t kMaxLabelBytes = std::uint64_t{1} << 20;

struct ShardFile {
  fs::path path;
  std::uint64_t bytes = 0;
};

// The files of one sample that were met so far.
struct Sample {
  std::string name;
  std::uint64_t position = 0;
  bool has_picture = false;
  std::optional<SourceItem> item;  // the picture, when it is wanted
  WebdatasetLabel label;
  std::optional<Fault> fault;  // of the label
};

class WebdatasetSource : public SampleSource {
 public:
  WebdatasetSource(SourceFacts facts, IgnoredFiles ignored, std::vector<ShardFile> tars,
                   IndexRange run, ClassList classes)
      : SampleSource(std::move(facts), std::move(ignored)),
        tars_(std::move(tars)),
        tar_(run.begin),
        end_(run.end),
        classes_(std::move(classes)) {}

  std::optional<SourceItem> Next(const Wanted& wanted) override {
    while (tar_ < end_) {
      if (!reader_) Enter();
      if (!member_) member_ = NextOfSamples();
      // A sample is whole when another one begins, or the tar ends.
      const std::string_view name = member_ ? SplitSampleName(member_->name).sample : "";
      if (sample_ && sample_->name != name) {
        auto item = Finish(*std::exchange(sample_, std::nullopt));
        if (item) return item;
      } else if (!member_) {
        Leave();
      } else {
        if (!sample_) Begin(name);
        Add(*std::exchange(member_, std::nullopt), wanted);
      }
    }
    return std::nullopt;
  }

  std::uint64_t passed_bytes() const override {
    return passed_ + (reader_ ? reader_->position() : 0);
  }

 private:
  void Enter() {
    reader_.emplace(std::make_shared<const InputFile>(tars_[tar_].path));
    samples_ = 0;
    pictures_ = 0;
  }

  void Leave() {
    if (pictures_ == 0) {
      Fail("{} holds no samples with a picture (.jpg, .jpeg, .png)", reader_->name());
    }
    reader_.reset();
    passed_ += tars_[tar_].bytes;
    ++tar_;
  }

  // The next member that belongs to a sample.
  std::optional<TarMember> NextOfSamples() {
    while (auto member = reader_->Next()) {
      const bool hidden = member->base_name().starts_with('.');
      if (!member->oddity.empty()) {
        Ignore(MemberOrigin(*reader_, *member) + *WhyNoPicture(*member));
      } else if (hidden || SplitSampleName(member->name).extension.empty()) {
        Ignore(MemberOrigin(*reader_, *member));
      } else {
        return member;
      }
    }
    return std::nullopt;
  }

  void Begin(std::string_view name) {
    sample_.emplace();
    sample_->name = name;
    sample_->position = PiecePosition(tar_, samples_++);
  }

  void Add(const TarMember& member, const Wanted& wanted) {
    Sample& sample = *sample_;
    const std::string extension = SplitSampleName(member.name).extension;
    if (extension == "cls") {
      ReadLabel(member, sample.label.cls);
    } else if (extension == "json") {
      ReadLabel(member, sample.label.json);
    } else if (WhyNoPicture(member) || extension.find('.') != std::string::npos) {
      // Masks, captions, embeddings.
    } else if (sample.has_picture) {
      Ignore(MemberOrigin(*reader_, member) + " (a second picture of its sample)");
    } else {
      sample.has_picture = true;
      ++pictures_;
      if (!wanted(sample.position)) return;
      sample.item = MakeItem(*reader_, member);
      sample.item->path = member.base_name();
    }
  }

  void ReadLabel(const TarMember& member, std::optional<std::string>& text) {
    if (member.bytes > kMaxLabelBytes) {
      sample_->fault =
          MakeFault("{} has {}", MemberOrigin(*reader_, member), FormatBytes(member.bytes));
      return;
    }
    const auto content = reader_->Read();
    text.emplace(reinterpret_cast<const char*>(content.data()), content.size());
  }

  // The sample's item, when it has one and it is wanted.
  std::optional<SourceItem> Finish(Sample sample) {
    if (!sample.has_picture) Ignore(reader_->name() + ": " + sample.name + " (no picture)");
    if (!sample.item) return std::nullopt;
    SourceItem item = *std::move(sample.item);
    item.position = sample.position;
    if (sample.fault) item.fault = std::move(sample.fault);
    auto id = ClassOf(sample, item.origin);
    if (id.ok()) {
      item.class_id = *id;
      item.path.insert(0, *id + "/");
    } else if (!item.fault) {
      item.fault = id.fault();
    }
    if (item.fault) item.content.clear();
    return item;
  }

  Result<std::string> ClassOf(const Sample& sample, const std::string& origin) const {
    try {
      return WebdatasetClass(sample.label, classes_);
    } catch (const Error& error) {
      throw error.Within(origin);
    }
  }

  std::vector<ShardFile> tars_;  // of all parts
  std::size_t tar_;              // the current one
  std::size_t end_;              // of this part
  ClassList classes_;
  std::optional<TarReader> reader_;
  std::optional<TarMember> member_;  // read from the tar, not yet added to a sample
  std::optional<Sample> sample_;     // under construction
  std::uint64_t samples_ = 0;        // of the current tar, so far
  std::uint64_t pictures_ = 0;       // among them
  std::uint64_t passed_ = 0;         // [bytes] of the tars before
};

}  // namespace

SampleName SplitSampleName(std::string_view name) {
  // Members of this form are WebDataset's own notes.
  if (name.starts_with("__")) {
    const std::size_t end = name.find("__", 2);
    if (end != std::string_view::npos && name.substr(0, end).find('/') == std::string_view::npos &&
        (end + 2 == name.size() || name[end + 2] == '/')) {
      return {.sample = name, .extension = ""};
    }
  }
  const std::size_t base = name.rfind('/') + 1;
  const std::size_t dot = name.find('.', base);
  if (dot == std::string_view::npos || dot == base) return {.sample = name, .extension = ""};
  std::string extension(name.substr(dot + 1));
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return {.sample = name.substr(0, dot), .extension = std::move(extension)};
}

std::unique_ptr<SampleSource> OpenWebdataset(const std::vector<fs::path>& tars,
                                             const ClassList& classes, const ClassNames& names,
                                             IgnoredFiles ignored, SourcePart part) {
  SourceFacts facts{
      .kind = "WebDataset", .identity = 0, .total_bytes = 0, .class_names = names, .class_ids = {}};
  SourceIdentity identity(facts.kind);
  std::vector<ShardFile> files;
  std::vector<std::uint64_t> sizes;
  for (const fs::path& path : tars) {
    const InputFile file(path);
    identity.AddFile(path.filename().native(), file.size(), file.modified_ns());
    files.push_back({.path = path, .bytes = file.size()});
    sizes.push_back(file.size());
  }
  for (const auto& id : classes.ids) identity.AddText(id);
  facts.identity = identity.Digest();
  const IndexRange run = BalancedRun(sizes, part);
  for (std::size_t i = run.begin; i < run.end; ++i) facts.total_bytes += sizes[i];
  return std::make_unique<WebdatasetSource>(std::move(facts), std::move(ignored), std::move(files),
                                            run, classes);
}

}  // namespace millrace::storage
