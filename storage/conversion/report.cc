#include "storage/conversion/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/file.h"
#include "storage/conversion/json_text.h"

namespace millrace::storage {
namespace {

constexpr std::size_t kMostListed = 100'000;

Json ToJson(std::vector<ListedFile> files) {
  SortByFile(&files);
  Json list = Json::array();
  for (std::size_t i = 0; i < std::min(files.size(), kMostListed); ++i) {
    list.push_back(
        {{"file", files[i].file}, {"fault", files[i].fault}, {"action", files[i].action}});
  }
  return list;
}

// How many files the lists lack.
Json NotListed(const ConversionReport& report) {
  Json missing = Json::object();
  const auto add = [&missing](const char* list, std::size_t files) {
    if (files > kMostListed) missing[list] = files - kMostListed;
  };
  add("bad", report.bad.size());
  add("changed", report.changed.size());
  return missing;
}

}  // namespace

void SortByFile(std::vector<ListedFile>* list) {
  std::sort(list->begin(), list->end(), [](const ListedFile& a, const ListedFile& b) {
    return std::tie(a.file, a.fault) < std::tie(b.file, b.fault);
  });
}

void WriteReport(const std::filesystem::path& dataset, const std::string& split,
                 ConversionReport report) {
  const auto path = dataset / "report.json";
  std::error_code code;
  Json json = std::filesystem::exists(path, code) ? Json::parse(ReadFile(path), nullptr, false)
                                                  : Json::object();
  if (!json.is_object()) json = Json::object();
  Json repairs;
  for (std::size_t i = 0; i < kRepairs.size(); ++i) {
    repairs[RepairName(kRepairs[i])] = report.repairs[i];
  }
  Json not_listed = NotListed(report);
  json[split] = {{"files", report.files},
                 {"records", report.records},
                 {"bytes_in", report.bytes_in},
                 {"bytes_out", report.bytes_out},
                 {"repairs", std::move(repairs)},
                 {"bad", ToJson(std::move(report.bad))},
                 {"changed", ToJson(std::move(report.changed))},
                 {"ignored", report.ignored}};
  if (!not_listed.empty()) json[split]["not_listed"] = std::move(not_listed);
  WriteFileAtomically(path, JsonText(json));
}

}  // namespace millrace::storage
