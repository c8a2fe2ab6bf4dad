// manifest.json: what a dataset folder holds, and the fingerprints by which datasets are compared.
// FORMAT.md, "Manifest".
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"

namespace millrace::storage {

// The version that this program writes, and the newest that it reads.
inline constexpr std::int64_t kFormatVersion = 1;

// A class; its index in the manifest's list is the label.
struct ClassInfo {
  std::string id;    // the source's folder name; the list is sorted by its bytes
  std::string name;  // for people; the id where nothing better is known

  bool operator==(const ClassInfo&) const = default;
};

struct ShardInfo {
  std::string file;  // name inside the dataset folder
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;  // of the file
  std::uint64_t hash = 0;   // XXH3-64 of the file

  bool operator==(const ShardInfo&) const = default;
};

// How a split was made: enough to repeat it and to know whether a second conversion would differ.
struct ConversionInfo {
  std::uint64_t seed = 0;
  std::string on_bad = {};     // "repair", "skip" or "fail"
  std::string variant = {};    // what became of the pictures: "re-packed with region index"
  std::uint64_t left_out = 0;  // files that could not be used
  std::uint64_t plan = 0;      // hash over the sources and the options

  bool operator==(const ConversionInfo&) const = default;
};

struct SplitInfo {
  std::uint64_t records = 0;
  std::uint64_t fingerprint = 0;
  std::vector<ShardInfo> shards;  // sample ids run through them in this order
  ConversionInfo conversion;

  bool operator==(const SplitInfo&) const = default;
};

struct Manifest {
  std::string tool_version;
  std::uint64_t fingerprint = 0;  // over all splits
  std::vector<ClassInfo> classes;
  std::map<std::string, SplitInfo> splits;  // by name: "train", "val"

  bool operator==(const Manifest&) const = default;
};

// Where a dataset's manifest lies.
std::filesystem::path ManifestPath(const std::filesystem::path& dataset);

// "train-00003-of-00008.lmdb".
std::string ShardFileName(std::string_view split, std::uint64_t index, std::uint64_t count);

// Reads and checks a dataset's manifest. Throws Error in one sentence naming file and key: missing
// or unreadable file, not a dataset, newer format version, missing key, wrong type, counts that
// contradict each other. Keys it does not know are passed over.
Manifest ReadManifest(const std::filesystem::path& dataset);

// The same, or nothing when there is no such file.
std::optional<Manifest> ReadManifestIfAny(const std::filesystem::path& dataset);

// The same from its text; `where` names it in errors.
Manifest ParseManifest(std::string_view text, const std::string& where);

// The text of the manifest. `fingerprint` is computed here, whatever `manifest` says.
std::string ManifestText(const Manifest& manifest);

// The split called `name`, or an Error that lists those there are.
const SplitInfo& FindSplit(const Manifest& manifest, std::string_view name,
                           const std::filesystem::path& dataset);

// The fingerprint of a split: a hash over the class ids and over every record's sample id, label
// and payload hash in order. Neither shards nor paths enter: the same content dealt to another
// number of shards has the same fingerprint. One thread at a time.
class SplitFingerprint {
 public:
  explicit SplitFingerprint(const std::vector<ClassInfo>& classes);

  // The next record in the order of sample ids.
  void Add(std::uint64_t label, std::uint64_t payload_hash);

  std::uint64_t Digest() const { return hasher_.Digest(); }

 private:
  Hasher hasher_;
  std::uint64_t next_sample_id_ = 0;
};

// The fingerprint of a dataset: a hash over its splits' names and fingerprints.
std::uint64_t DatasetFingerprint(const Manifest& manifest);

}  // namespace millrace::storage
