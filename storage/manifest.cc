#include "storage/manifest.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/build_info.h"
#include "base/error.h"
#include "base/file.h"

namespace millrace::storage {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormatName = "millrace dataset";
constexpr std::size_t kMaxShards = 4096;

// A JSON value and where it stands, for errors that say so.
class Value {
 public:
  // `separator` stands between `where` and the names of members.
  Value(const Json& json, std::string where, const char* separator = ".")
      : json_(json), where_(std::move(where)), separator_(separator) {}

  [[noreturn]] void Blame(std::string_view problem) const {
    Fail("{} {}; restore the file or convert again", where_, problem);
  }

  Value At(const char* key) const {
    if (!json_.is_object()) Blame("is not an object");
    const auto found = json_.find(key);
    if (found == json_.end()) Blame(fmt::format("lacks the key \"{}\"", key));
    return {*found, where_ + separator_ + key};
  }

  std::vector<Value> Items() const {
    if (!json_.is_array()) Blame("is not a list");
    std::vector<Value> items;
    items.reserve(json_.size());
    for (const auto& item : json_) {
      items.emplace_back(item, fmt::format("{}[{}]", where_, items.size()));
    }
    return items;
  }

  std::vector<std::pair<std::string, Value>> Members() const {
    if (!json_.is_object()) Blame("is not an object");
    std::vector<std::pair<std::string, Value>> members;
    for (const auto& [key, member] : json_.items()) {
      members.emplace_back(key, Value(member, where_ + separator_ + key));
    }
    return members;
  }

  std::string Text() const {
    if (!json_.is_string()) Blame("is not a text");
    return json_.get<std::string>();
  }

  // The text of a key that earlier versions did not write.
  std::string TextOr(const char* key, const char* otherwise) const {
    return json_.is_object() && json_.contains(key) ? At(key).Text() : otherwise;
  }

  std::uint64_t Count() const {
    if (!json_.is_number_unsigned()) Blame("is not a whole number of at least 0");
    return json_.get<std::uint64_t>();
  }

  std::uint64_t Hash() const {
    const std::string text = Text();
    std::uint64_t hash = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), hash, 16);
    if (text.size() != 16 || code != std::errc() || end != text.data() + text.size()) {
      Blame("is not a hash of 16 hexadecimal digits");
    }
    return hash;
  }

 private:
  const Json& json_;
  std::string where_;
  const char* separator_;
};

std::vector<ClassInfo> ParseClasses(const Value& list) {
  std::vector<ClassInfo> classes;
  for (const Value& item : list.Items()) {
    classes.push_back({.id = item.At("id").Text(), .name = item.At("name").Text()});
    if (classes.size() > 1 && !(classes[classes.size() - 2].id < classes.back().id)) {
      item.Blame("breaks the order of class ids");
    }
  }
  if (classes.empty()) list.Blame("is empty");
  return classes;
}

ShardInfo ParseShard(const Value& value) {
  ShardInfo shard{.file = value.At("file").Text(),
                  .records = value.At("records").Count(),
                  .bytes = value.At("bytes").Count(),
                  .hash = value.At("hash").Hash()};
  if (shard.file.empty() || shard.file.find('/') != std::string::npos || shard.file == "." ||
      shard.file == ".." || shard.file.find('\0') != std::string::npos) {
    value.At("file").Blame("is not a file name");
  }
  return shard;
}

SplitInfo ParseSplit(const Value& value) {
  SplitInfo split{.records = value.At("records").Count(),
                  .fingerprint = value.At("fingerprint").Hash(),
                  .shards = {},
                  .conversion = {}};
  const Value conversion = value.At("conversion");
  split.conversion = {.seed = conversion.At("seed").Count(),
                      .on_bad = conversion.At("on_bad").Text(),
                      .variant = conversion.TextOr("variant", "as it came"),
                      .left_out = conversion.At("left_out").Count(),
                      .plan = conversion.At("plan").Hash()};
  std::uint64_t records = 0;
  const auto shards = value.At("shards").Items();
  if (shards.empty() || shards.size() > kMaxShards) {
    value.At("shards").Blame(fmt::format("does not hold 1 to {} shards", kMaxShards));
  }
  for (const Value& item : shards) {
    split.shards.push_back(ParseShard(item));
    records += split.shards.back().records;
  }
  if (records != split.records) {
    value.At("records").Blame(
        fmt::format("is {}, but its shards hold {} records", split.records, records));
  }
  return split;
}

}  // namespace

std::filesystem::path ManifestPath(const std::filesystem::path& dataset) {
  return dataset / "manifest.json";
}

std::string ShardFileName(std::string_view split, std::uint64_t index, std::uint64_t count) {
  return fmt::format("{}-{:05}-of-{:05}.lmdb", split, index, count);
}

Manifest ReadManifest(const std::filesystem::path& dataset) {
  auto manifest = ReadManifestIfAny(dataset);
  if (!manifest) {
    Fail("{} is not a dataset: it has no manifest.json; make one with `millrace convert`",
         dataset.string());
  }
  return *std::move(manifest);
}

std::optional<Manifest> ReadManifestIfAny(const std::filesystem::path& dataset) {
  const auto path = ManifestPath(dataset);
  std::error_code code;
  if (!std::filesystem::exists(path, code) && !code) return {};
  return ParseManifest(ReadFile(path), path.string());
}

Manifest ParseManifest(std::string_view text, const std::string& where) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) Fail("{} is not valid JSON; restore the file or convert again", where);
  const Value root(json, where, ": ");
  if (root.At("format").Text() != kFormatName) {
    root.At("format").Blame(fmt::format("is not \"{}\"", kFormatName));
  }
  // The version first: a newer one may have changed all that follows.
  const std::uint64_t version = root.At("format_version").Count();
  if (version != kFormatVersion) {
    Fail("{}: format_version is {}, and this program ({}) reads version {}; {}", where, version,
         BuildVersion(), kFormatVersion,
         version > kFormatVersion ? "use a newer millrace" : "convert again");
  }
  Manifest manifest{.tool_version = root.At("tool_version").Text(),
                    .fingerprint = root.At("fingerprint").Hash(),
                    .classes = ParseClasses(root.At("classes")),
                    .splits = {}};
  for (const auto& [name, split] : root.At("splits").Members()) {
    manifest.splits.emplace(name, ParseSplit(split));
  }
  if (manifest.fingerprint != DatasetFingerprint(manifest)) {
    root.At("fingerprint").Blame("does not follow from the splits' fingerprints");
  }
  return manifest;
}

std::string ManifestText(const Manifest& manifest) {
  Json json;
  json["format"] = kFormatName;
  json["format_version"] = kFormatVersion;
  json["tool_version"] = manifest.tool_version;
  json["fingerprint"] = HashToHex(DatasetFingerprint(manifest));
  json["classes"] = Json::array();
  for (const auto& info : manifest.classes) {
    json["classes"].push_back({{"id", info.id}, {"name", info.name}});
  }
  json["splits"] = Json::object();
  for (const auto& [name, split] : manifest.splits) {
    Json& entry = json["splits"][name];
    entry["records"] = split.records;
    entry["fingerprint"] = HashToHex(split.fingerprint);
    entry["conversion"] = {{"seed", split.conversion.seed},
                           {"on_bad", split.conversion.on_bad},
                           {"variant", split.conversion.variant},
                           {"left_out", split.conversion.left_out},
                           {"plan", HashToHex(split.conversion.plan)}};
    entry["shards"] = Json::array();
    for (const auto& shard : split.shards) {
      entry["shards"].push_back({{"file", shard.file},
                                 {"records", shard.records},
                                 {"bytes", shard.bytes},
                                 {"hash", HashToHex(shard.hash)}});
    }
  }
  return json.dump(1, ' ') + "\n";
}

const SplitInfo& FindSplit(const Manifest& manifest, std::string_view name,
                           const std::filesystem::path& dataset) {
  const auto found = manifest.splits.find(std::string(name));
  if (found != manifest.splits.end()) return found->second;
  std::string known;
  for (const auto& [other, split] : manifest.splits) {
    known += (known.empty() ? "" : ", ") + other;
  }
  Fail("{} has no split \"{}\" (it has: {})", dataset.string(), name,
       known.empty() ? "none" : known);
}

SplitFingerprint::SplitFingerprint(const std::vector<ClassInfo>& classes) {
  hasher_.AddU64(classes.size());
  for (const auto& info : classes) {
    hasher_.AddU64(info.id.size());
    hasher_.Add(info.id);
  }
}

void SplitFingerprint::Add(std::uint64_t label, std::uint64_t payload_hash) {
  hasher_.AddU64(next_sample_id_++);
  hasher_.AddU64(label);
  hasher_.AddU64(payload_hash);
}

std::uint64_t DatasetFingerprint(const Manifest& manifest) {
  Hasher hasher;
  for (const auto& [name, split] : manifest.splits) {
    hasher.AddU64(name.size());
    hasher.Add(name);
    hasher.AddU64(split.fingerprint);
  }
  return hasher.Digest();
}

}  // namespace millrace::storage
