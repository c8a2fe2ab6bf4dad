#include "storage/conversion_files.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"

namespace millrace::storage {
namespace {

using Json = nlohmann::ordered_json;

// File names may hold any bytes; what is not UTF-8 is shown as a replacement character.
std::string Dump(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Throws std::invalid_argument when it is not a hash.
std::uint64_t HashFromHex(const std::string& text) {
  std::uint64_t hash = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  if (code != std::errc() || end != text.data() + text.size()) throw std::invalid_argument(text);
  return hash;
}

}  // namespace

std::filesystem::path SummaryPath(const std::filesystem::path& shard) {
  return shard.string() + ".done.json";
}

void WriteSummary(const std::filesystem::path& shard, const ShardSummary& summary) {
  Json json = {{"plan", HashToHex(summary.plan)},       {"bytes", summary.facts.bytes},
               {"hash", HashToHex(summary.facts.hash)}, {"labels", Json::array()},
               {"payload_hashes", Json::array()},       {"left_out", Json::array()}};
  for (const auto& record : summary.records) {
    json["labels"].push_back(record.label);
    json["payload_hashes"].push_back(HashToHex(record.payload_hash));
  }
  for (const auto& bad : summary.left_out) {
    json["left_out"].push_back({{"file", bad.file}, {"fault", bad.fault}});
  }
  WriteFileAtomically(SummaryPath(shard), Dump(json));
}

std::optional<ShardSummary> ReadSummary(const std::filesystem::path& shard) {
  const auto path = SummaryPath(shard);
  std::error_code code;
  if (!std::filesystem::exists(path, code)) return {};
  // Whatever is wrong with it, the answer is to do the shard again.
  try {
    const Json json = Json::parse(ReadFile(path));
    ShardSummary summary{.plan = HashFromHex(json.at("plan")),
                         .facts = {.records = json.at("labels").size(),
                                   .bytes = json.at("bytes"),
                                   .hash = HashFromHex(json.at("hash"))},
                         .records = {},
                         .left_out = {}};
    const Json& hashes = json.at("payload_hashes");
    if (hashes.size() != summary.facts.records) return {};
    for (std::size_t i = 0; i < hashes.size(); ++i) {
      summary.records.push_back(
          {.label = json.at("labels")[i], .payload_hash = HashFromHex(hashes[i])});
    }
    for (const auto& bad : json.at("left_out")) {
      summary.left_out.push_back({.file = bad.at("file"), .fault = bad.at("fault")});
    }
    return summary;
  } catch (const Json::exception&) {
    return {};
  } catch (const std::invalid_argument&) {
    return {};
  } catch (const Error&) {
    return {};
  }
}

void WriteReport(const std::filesystem::path& dataset, const std::string& split,
                 const std::vector<BadFile>& bad, const std::string& action,
                 const std::vector<std::string>& ignored) {
  const auto path = dataset / "report.json";
  std::error_code code;
  Json json = std::filesystem::exists(path, code) ? Json::parse(ReadFile(path), nullptr, false)
                                                  : Json::object();
  if (!json.is_object()) json = Json::object();
  Json entry = {{"bad", Json::array()}, {"ignored", ignored}};
  for (const auto& file : bad) {
    entry["bad"].push_back({{"file", file.file}, {"fault", file.fault}, {"action", action}});
  }
  json[split] = entry;
  WriteFileAtomically(path, Dump(json));
}

}  // namespace millrace::storage
