#include "pipeline/label_file.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/suggest.h"
#include "storage/sources/class_id.h"

namespace millrace::pipeline {
namespace {

using Json = nlohmann::json;
using Labels = std::vector<std::int64_t>;

std::optional<std::uint64_t> ToNumber(std::string_view digits) {
  std::uint64_t number = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (code != std::errc() || end != digits.data() + digits.size()) return {};
  return number;
}

std::string_view LastPart(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// What a label of the file means in the dataset.
class Classes {
 public:
  explicit Classes(const std::vector<storage::ClassInfo>& classes) {
    for (std::size_t i = 0; i < classes.size(); ++i) {
      const std::string& id = classes[i].id;
      ids_.push_back(id);
      numbers_.emplace(id, static_cast<std::int64_t>(i));
      if (other_number_.empty() && storage::IsNumber(id) && ToNumber(id) != i) {
        other_number_ = fmt::format("class number {} has the id \"{}\"", i, id);
      }
    }
  }

  std::size_t count() const { return ids_.size(); }

  std::int64_t OfNumber(std::uint64_t number, const std::string& where) const {
    if (!other_number_.empty()) {
      Fail(
          "{}: {} may be a number or an id: the dataset's class ids are numbers in another order "
          "({}); convert it with --classes, a list of the ids that the numbers mean",
          where, number, other_number_);
    }
    if (number >= ids_.size()) {
      Fail(
          "{}: there is no class {}: the dataset has {} classes, numbered from 0 in the order of "
          "their ids",
          where, number, FormatCount(ids_.size()));
    }
    return static_cast<std::int64_t>(number);
  }

  std::int64_t OfWord(const std::string& word, const std::string& where) const {
    if (storage::IsNumber(word)) {
      const auto number = ToNumber(word);
      if (number) return OfNumber(*number, where);
    }
    const auto found = numbers_.find(word);
    if (found == numbers_.end()) {
      Fail("{}: the dataset has no class \"{}\"{}", where, word, Suggest(word, ids_));
    }
    return found->second;
  }

  std::int64_t Of(const Json& json, const std::string& where) const {
    if (json.is_number_unsigned()) return OfNumber(json.get<std::uint64_t>(), where);
    if (json.is_string()) return OfWord(json.get<std::string>(), where);
    Fail("{}: {} is neither a class number nor a class id", where, json.dump());
  }

 private:
  std::vector<std::string> ids_;
  std::map<std::string, std::int64_t> numbers_;
  std::string other_number_;  // empty: numbers are positions
};

Labels SortedOnce(Labels labels) {
  std::sort(labels.begin(), labels.end());
  labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
  return labels;
}

// Who has labels for which sample.
class Source {
 public:
  virtual ~Source() = default;
  // Of the sample at this path; nullptr: none.
  virtual const Labels* Find(std::uint64_t sample_id, std::string_view path) = 0;
  // After the last sample. Throws Error when something of the file was for none.
  virtual void Finish() {}
};

// One entry for each picture of ImageNet's validation set, in order.
class InOrder final : public Source {
 public:
  InOrder(const Json& list, const Classes& classes, std::string file) : file_(std::move(file)) {
    std::int64_t last = -1;
    for (const Json& entry : list) {
      const std::string where = fmt::format("{}, entry {} ({}{:08})", file_, labels_.size() + 1,
                                            kPrefix, labels_.size() + 1);
      if (!entry.is_array()) Fail("{}: is no list of class numbers", where);
      Labels labels;
      for (const Json& label : entry) {
        labels.push_back(classes.Of(label, where));
        last = std::max(last, labels.back());
      }
      labels_.push_back(SortedOnce(std::move(labels)));
    }
    // Numbers of fewer classes are positions in another list.
    if (last >= 0 && static_cast<std::size_t>(last) + 1 != classes.count()) {
      Fail("{} is about classes 0 to {}, but the dataset has {} classes", file_, last,
           FormatCount(classes.count()));
    }
  }

  const Labels* Find(std::uint64_t sample_id, std::string_view path) override {
    std::string_view name = LastPart(path);
    std::optional<std::uint64_t> number;
    if (name.starts_with(kPrefix)) {
      name.remove_prefix(kPrefix.size());
      number = ToNumber(name.substr(0, name.find_first_not_of("0123456789")));
    }
    if (!number) {
      Fail(
          "{} is a list in the order of ImageNet's validation set, but sample {}, {}, is not "
          "called "
          "{}00000001.JPEG or the like; a list of paths with their labels goes with any names",
          file_, sample_id, path, kPrefix);
    }
    if (*number < 1 || *number > labels_.size()) {
      Fail("{} has {} entries, none for sample {}, {}", file_, FormatCount(labels_.size()),
           sample_id, path);
    }
    return &labels_[*number - 1];
  }

 private:
  static constexpr std::string_view kPrefix = "ILSVRC2012_val_";
  std::string file_;
  std::vector<Labels> labels_;
};

class ByPath final : public Source {
 public:
  void Add(std::string path, Labels labels, const std::string& where) {
    if (path.empty()) Fail("{}: there is no path", where);
    const auto [at, is_new] = entries_.try_emplace(
        std::move(path),
        Entry{.labels = SortedOnce(std::move(labels)), .where = where, .user = {}});
    if (!is_new) Fail("{}: {} is there twice, before in {}", where, at->first, at->second.where);
  }

  const Labels* Find(std::uint64_t /*sample_id*/, std::string_view path) override {
    auto found = entries_.find(path);
    if (found == entries_.end()) found = entries_.find(LastPart(path));
    if (found == entries_.end()) return nullptr;
    Entry& entry = found->second;
    if (!entry.user.empty()) {
      Fail("{}: two samples are called {}: {} and {}; give their paths", entry.where, found->first,
           entry.user, path);
    }
    entry.user = path;
    return &entry.labels;
  }

  void Finish() override {
    const auto unused = [](const auto& entry) { return entry.second.user.empty(); };
    const auto first = std::find_if(entries_.begin(), entries_.end(), unused);
    if (first == entries_.end()) return;
    const auto more = std::count_if(first, entries_.end(), unused) - 1;
    Fail("{}: the split has no sample {}{}", first->second.where, first->first,
         more == 0 ? ""
                   : fmt::format(", and {} other paths are not there either",
                                 FormatCount(static_cast<std::uint64_t>(more))));
  }

 private:
  struct Entry {
    Labels labels;
    std::string where;
    std::string user;  // the path of the sample that took it; empty: none yet
  };
  std::map<std::string, Entry, std::less<>> entries_;
};

std::unique_ptr<Source> FromObject(const Json& object, const Classes& classes,
                                   const std::string& file) {
  auto source = std::make_unique<ByPath>();
  for (const auto& [path, value] : object.items()) {
    const std::string where = fmt::format("{}, {}", file, path);
    Labels labels;
    if (value.is_array()) {
      for (const Json& label : value) labels.push_back(classes.Of(label, where));
    } else {
      labels.push_back(classes.Of(value, where));
    }
    source->Add(path, std::move(labels), file);
  }
  return source;
}

std::unique_ptr<Source> FromJson(const std::string& text, const Classes& classes,
                                 const std::string& file) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_array()) return std::make_unique<InOrder>(json, classes, file);
  if (json.is_object()) return FromObject(json, classes, file);
  Fail("{} holds neither a JSON list of lists of labels nor a JSON object of paths with labels",
       file);
}

std::unique_ptr<Source> FromLines(const std::string& text, const Classes& classes,
                                  const std::string& file) {
  auto source = std::make_unique<ByPath>();
  std::size_t number = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = storage::Trim(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    ++number;
    if (line.empty()) continue;
    const std::string where = fmt::format("{}, line {}", file, number);
    const std::size_t tab = line.find('\t');
    const std::size_t path_end = std::min(tab != line.npos ? tab : line.find(' '), line.size());
    Labels labels;
    std::string_view words = line.substr(path_end);
    while (!(words = storage::Trim(words)).empty()) {
      const std::size_t word = std::min(words.find_first_of(" \t"), words.size());
      labels.push_back(classes.OfWord(std::string(words.substr(0, word)), where));
      words.remove_prefix(word);
    }
    source->Add(std::string(storage::Trim(line.substr(0, path_end))), std::move(labels), where);
  }
  return source;
}

}  // namespace

std::vector<Labels> ReadLabelFile(const std::filesystem::path& file,
                                  const storage::SplitReader& split) {
  const std::string text = ReadFile(file);
  const Classes classes(split.manifest().classes);
  const std::unique_ptr<Source> source = file.extension() == ".json"
                                             ? FromJson(text, classes, file.string())
                                             : FromLines(text, classes, file.string());
  std::vector<Labels> labels(split.size());
  bool any = false;
  for (std::uint64_t id = 0; id < split.size(); ++id) {
    const auto record = split.Peek(id);
    if (!record) Fail("{}", record.fault().message);
    if (const Labels* found = source->Find(id, record->path)) labels[id] = *found;
    any = any || !labels[id].empty();
  }
  source->Finish();
  if (!any) Fail("{} has no labels for any sample of the split", file.string());
  return labels;
}

}  // namespace millrace::pipeline
