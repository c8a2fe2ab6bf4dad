#include "storage/conversion/shard_summary.h"

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "storage/conversion/json_text.h"

namespace millrace::storage {

std::filesystem::path SummaryPath(const std::filesystem::path& shard) {
  return shard.string() + ".done.json";
}

void WriteSummary(const std::filesystem::path& shard, const ShardSummary& summary) {
  Json json = {{"plan", HashToHex(summary.plan)},
               {"bytes", summary.facts.bytes},
               {"hash", HashToHex(summary.facts.hash)},
               {"labels", Json::array()},
               {"payload_hashes", Json::array()},
               {"repairs", summary.repairs},
               {"changed", Json::array()}};
  for (const auto& record : summary.records) {
    json["labels"].push_back(record.label);
    json["payload_hashes"].push_back(HashToHex(record.payload_hash));
  }
  for (const auto& listed : summary.changed) {
    json["changed"].push_back(
        {{"file", listed.file}, {"fault", listed.fault}, {"action", listed.action}});
  }
  WriteFileAtomically(SummaryPath(shard), JsonText(json));
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
                         .repairs = json.at("repairs").get<RepairCounts>(),
                         .changed = {}};
    const Json& hashes = json.at("payload_hashes");
    if (hashes.size() != summary.facts.records) return {};
    for (std::size_t i = 0; i < hashes.size(); ++i) {
      summary.records.push_back(
          {.label = json.at("labels")[i], .payload_hash = HashFromHex(hashes[i])});
    }
    for (const auto& listed : json.at("changed")) {
      summary.changed.push_back(
          {.file = listed.at("file"), .fault = listed.at("fault"), .action = listed.at("action")});
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

}  // namespace millrace::storage
