#include "storage/conversion/part_summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "storage/conversion/json_text.h"

namespace millrace::storage {
namespace {

namespace fs = std::filesystem;

// A file of ours that was not written to its end, or by another version, is as good as none.
std::optional<Json> ReadJson(const fs::path& path) {
  std::error_code code;
  if (!fs::exists(path, code)) return {};
  Json json = Json::parse(ReadFile(path), nullptr, false);
  if (json.is_discarded()) return {};
  return json;
}

}  // namespace

fs::path WorkFolder(const fs::path& dataset, const std::string& split) {
  return dataset / (".convert-" + split);
}

fs::path PartFolder(const fs::path& work, SourcePart part) {
  return work / fmt::format("part-{:05}-of-{:05}", part.index, part.count);
}

std::vector<SourcePart> ListParts(const fs::path& work) {
  std::vector<SourcePart> parts;
  std::error_code code;
  for (fs::directory_iterator at(work, code), end; !code && at != end; at.increment(code)) {
    const std::string name = at->path().filename().string();
    SourcePart part;
    if (std::sscanf(name.c_str(), "part-%5u-of-%5u", &part.index, &part.count) != 2 ||
        PartFolder(work, part) != at->path()) {
      continue;
    }
    parts.push_back(part);
  }
  if (code && code != std::errc::no_such_file_or_directory) {
    Fail("cannot read the folder {}: {}", work.string(), code.message());
  }
  std::sort(parts.begin(), parts.end(),
            [](SourcePart a, SourcePart b) { return a.index < b.index; });
  for (const SourcePart part : parts) {
    if (part.count != parts.front().count) {
      Fail("{} holds the work of {} workers and of {}; remove the folder and convert again",
           work.string(), parts.front().count, part.count);
    }
  }
  return parts;
}

fs::path SpoolPath(const fs::path& part_folder, std::uint32_t spool, std::uint32_t spools) {
  return part_folder / fmt::format("pictures-{:03}-of-{:03}.spool", spool, spools);
}

fs::path LeftOutPath(const fs::path& part_folder) { return part_folder / "left-out.spool"; }

void WritePartPlan(const fs::path& part_folder, std::uint64_t plan) {
  WriteFileAtomically(part_folder / "plan.json", JsonText({{"plan", HashToHex(plan)}}));
}

std::optional<std::uint64_t> ReadPartPlan(const fs::path& part_folder) {
  try {
    const auto json = ReadJson(part_folder / "plan.json");
    if (!json) return {};
    return HashFromHex(json->at("plan"));
  } catch (const Json::exception&) {
    return {};
  } catch (const std::invalid_argument&) {
    return {};
  }
}

void WritePartSummary(const fs::path& part_folder, const PartSummary& summary) {
  const Json json = {{"plan", HashToHex(summary.plan)},    {"seed", summary.settings.seed},
                     {"on_bad", summary.settings.on_bad},  {"variant", summary.settings.variant},
                     {"spools", summary.spools},           {"files", summary.files},
                     {"bytes_in", summary.bytes_in},       {"left_out", summary.left_out},
                     {"records", summary.records},         {"record_bytes", summary.record_bytes},
                     {"in_range", summary.in_range},       {"class_ids", summary.class_ids},
                     {"class_names", summary.class_names}, {"ignored", summary.ignored}};
  WriteFileAtomically(part_folder / "done.json", JsonText(json));
}

std::optional<PartSummary> ReadPartSummary(const fs::path& part_folder) {
  try {
    const auto json = ReadJson(part_folder / "done.json");
    if (!json) return {};
    PartSummary summary;
    summary.plan = HashFromHex(json->at("plan"));
    json->at("seed").get_to(summary.settings.seed);
    json->at("on_bad").get_to(summary.settings.on_bad);
    json->at("variant").get_to(summary.settings.variant);
    json->at("spools").get_to(summary.spools);
    json->at("files").get_to(summary.files);
    json->at("bytes_in").get_to(summary.bytes_in);
    json->at("left_out").get_to(summary.left_out);
    json->at("records").get_to(summary.records);
    json->at("record_bytes").get_to(summary.record_bytes);
    json->at("in_range").get_to(summary.in_range);
    json->at("class_ids").get_to(summary.class_ids);
    json->at("class_names").get_to(summary.class_names);
    json->at("ignored").get_to(summary.ignored);
    return summary;
  } catch (const Json::exception&) {
    return {};
  } catch (const std::invalid_argument&) {
    return {};
  }
}

}  // namespace millrace::storage
