#include "storage/dataset_report.h"

#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "base/error.h"
#include "base/file.h"

namespace millrace::storage {
namespace {

using Json = nlohmann::json;

std::string TextOf(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<std::uint64_t> CountOf(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return {};
  return found->get<std::uint64_t>();
}

// How many files a list of a split lacks because it was cut off.
std::uint64_t NotListed(const Json& split, const std::string& name) {
  const auto missing = split.find("not_listed");
  if (missing == split.end() || !missing->is_object()) return 0;
  return CountOf(*missing, name.c_str()).value_or(0);
}

// Parses a report and keeps only the beginning of its lists, whose full lengths it counts.
class Parser {
 public:
  explicit Parser(std::size_t most_listed) : most_listed_(most_listed) {}

  // Discarded when the text is not JSON.
  Json Parse(std::string_view text) {
    const auto keep = [this](int depth, Json::parse_event_t event, Json& value) {
      return Keep(depth, event, value);
    };
    return Json::parse(text, keep, /*allow_exceptions=*/false);
  }

  ReportedFiles List(const Json& root, const std::string& split, const std::string& name) const {
    ReportedFiles files;
    const auto total = totals_.find({split, name});
    if (total == totals_.end()) return files;
    files.total = total->second + NotListed(root.at(split), name);
    const auto list = root.at(split).find(name);
    if (list == root.at(split).end()) return files;
    for (const Json& entry : *list) {
      if (entry.is_string()) files.first.push_back({.file = entry, .fault = {}, .action = {}});
      if (!entry.is_object()) continue;
      files.first.push_back({.file = TextOf(entry, "file"),
                             .fault = TextOf(entry, "fault"),
                             .action = TextOf(entry, "action")});
    }
    return files;
  }

 private:
  // Depths: 0 the report, 1 the splits, 2 their keys, 3 what their lists hold.
  bool Keep(int depth, Json::parse_event_t event, const Json& value) {
    using Event = Json::parse_event_t;
    if (event == Event::key && depth == 1) split_ = value.get<std::string>();
    if (event == Event::key && depth == 2) name_ = value.get<std::string>();
    if (depth == 2 && event == Event::array_start) is_list_ = true;
    if (depth == 2 && event == Event::array_end) is_list_ = false;
    const bool is_entry = event == Event::value || event == Event::object_start;
    if (depth != 3 || !is_list_ || !is_entry) return true;
    return ++totals_[{split_, name_}] <= most_listed_;
  }

  const std::size_t most_listed_;
  std::string split_;
  std::string name_;
  bool is_list_ = false;
  std::map<std::pair<std::string, std::string>, std::uint64_t> totals_;
};

DatasetReport ReportOf(std::string_view text, std::size_t most_listed, bool* is_json) {
  Parser parser(most_listed);
  const Json root = parser.Parse(text);
  *is_json = root.is_object();
  DatasetReport report;
  if (!*is_json) return report;
  for (const auto& [split, entry] : root.items()) {
    if (!entry.is_object()) continue;
    report[split] = {.files = CountOf(entry, "files"),
                     .bytes_in = CountOf(entry, "bytes_in"),
                     .bytes_out = CountOf(entry, "bytes_out"),
                     .bad = parser.List(root, split, "bad"),
                     .changed = parser.List(root, split, "changed"),
                     .ignored = parser.List(root, split, "ignored")};
  }
  return report;
}

}  // namespace

Result<DatasetReport> ReadDatasetReport(const std::filesystem::path& dataset,
                                        std::size_t most_listed) {
  const auto path = dataset / "report.json";
  std::error_code code;
  if (!std::filesystem::exists(path, code) && !code) return DatasetReport{};
  try {
    const MappedFile file(path);
    const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                                file.bytes().size());
    bool is_json = false;
    DatasetReport report = ReportOf(text, most_listed, &is_json);
    if (!is_json) return MakeFault("{} is not a report", path.string());
    return report;
  } catch (const Error& error) {
    return Fault{error.what()};
  }
}

}  // namespace millrace::storage
