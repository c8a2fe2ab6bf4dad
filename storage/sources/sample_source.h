// Where the converter's pictures come from, whatever the layout: one after the other, with the
// class of each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace millrace::storage {

// Readable names by class id, as far as they are known.
using ClassNames = std::map<std::string, std::string>;

// One file that should hold a picture.
struct SourceItem {
  // The item's place in its source: ascending, unique, and the same however the source is parted
  // and wherever an earlier run ended.
  std::uint64_t position = 0;
  std::string class_id;  // UTF-8; empty when the fault is that there is none
  std::string path;      // "<class id>/<file name>", for the record and the report; bytes as found
  std::string origin;    // where the user finds it: a file, or "a.tar: n01440764.tar: x.JPEG"
  std::uint64_t bytes = 0;  // of the content, as announced

  // What TakeContent() works on; one of the three is there.
  std::optional<Fault> fault;      // it cannot be read: too large, without a class, ...
  std::filesystem::path file;      // an image folder's: not read yet
  std::vector<std::byte> content;  // a tar's: read already, because a tar is read in order
};

// The bytes of an item, moved out of it or read from its file. Any thread; reading files in
// parallel hides the time that opening each of them takes on network storage.
Result<std::vector<std::byte>> TakeContent(SourceItem& item);

// The fault of an item that is announced as larger than kMaxPayloadBytes.
Fault TooLarge(std::uint64_t bytes);

// One of `count` equal shares of a source. All parts together hold each item once; a part may be
// empty when there are fewer pieces than parts.
struct SourcePart {
  std::uint32_t index = 0;  // < count
  std::uint32_t count = 1;
};

// What is known of a source before it is read.
struct SourceFacts {
  std::string kind;               // "image folder", "ImageNet training tar", ...
  std::uint64_t identity = 0;     // hash of the files' names, sizes and times and of what labels
                                  // them: the same for every part
  std::uint64_t total_bytes = 0;  // of this part, as passed_bytes() counts them
  ClassNames class_names;
  std::vector<std::string> class_ids;  // of all parts, sorted, where reading is not needed to know
};

// What was met and is no item, with the reason where it is not the name. Names 10,000 at most: an
// archive of something else must not fill the memory.
class IgnoredFiles {
 public:
  void Add(std::string what);
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
};

// The items of this part in the source's own order, read strictly in sequence. Memory: one item,
// and what each kind says of its listing. One thread at a time.
class SampleSource {
 public:
  // Whether the item at a position is to be read: an interrupted run passes over what it has.
  using Wanted = std::function<bool(std::uint64_t position)>;

  // `ignored`: what was met while opening.
  explicit SampleSource(SourceFacts facts, IgnoredFiles ignored = {})
      : facts_(std::move(facts)), ignored_(std::move(ignored)) {}
  virtual ~SampleSource() = default;
  SampleSource(const SampleSource&) = delete;
  SampleSource& operator=(const SampleSource&) = delete;

  // The next wanted item; nullopt at the end. `wanted` is asked once per item, before its content
  // is read. Throws Error for what makes the source as a whole unusable: a damaged or cut off
  // archive, a class without pictures, labels that do not fit.
  virtual std::optional<SourceItem> Next(const Wanted& wanted) = 0;

  // How much lies behind [bytes], what was not wanted included: facts().total_bytes at the end.
  virtual std::uint64_t passed_bytes() const = 0;

  const SourceFacts& facts() const { return facts_; }

  // Of this part; what concerns all parts is in the first. Complete when Next() has given nullopt.
  const std::vector<std::string>& ignored() const { return ignored_.names(); }

 protected:
  void Ignore(std::string what) { ignored_.Add(std::move(what)); }

 private:
  SourceFacts facts_;
  IgnoredFiles ignored_;
};

}  // namespace millrace::storage
