#include "storage/conversion/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/file.h"
#include "base/format.h"
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
  if (files.size() > kMostListed) {
    list.push_back({{"file", fmt::format("{} more", FormatCount(files.size() - kMostListed))},
                    {"fault", "not listed"},
                    {"action", "not listed"}});
  }
  return list;
}

}  // namespace

void CountRepairs(std::uint32_t repairs, RepairCounts* counts) {
  for (std::size_t bit = 0; bit < counts->size(); ++bit) {
    if ((repairs >> bit & 1) != 0) ++(*counts)[bit];
  }
}

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
  for (std::size_t i = 0; i < kRepairNames.size(); ++i) {
    repairs[kRepairNames[i]] = report.repairs[i];
  }
  json[split] = {{"files", report.files},
                 {"records", report.records},
                 {"bytes_in", report.bytes_in},
                 {"bytes_out", report.bytes_out},
                 {"repairs", std::move(repairs)},
                 {"bad", ToJson(std::move(report.bad))},
                 {"changed", ToJson(std::move(report.changed))},
                 {"ignored", report.ignored}};
  WriteFileAtomically(path, JsonText(json));
}

}  // namespace millrace::storage
