#include "pipeline/dataset_summary.h"

#include <utility>

namespace millrace::pipeline {

DatasetSummary SummarizeDataset(const std::filesystem::path& folder) {
  DatasetSummary summary{.folder = folder,
                         .manifest = storage::ReadManifest(folder),
                         .report_fault = {},
                         .splits = {}};
  auto report = storage::ReadDatasetReport(folder, kMostListed);
  if (!report) summary.report_fault = report.fault().message;
  for (const auto& [name, info] : summary.manifest.splits) {
    storage::SplitReader reader(folder, name);
    SampleChoice choice(reader.size(), summary.manifest.classes.size());
    auto statistics = storage::CollectStatistics(
        reader,
        [&choice](std::uint64_t id, const storage::RecordView& record) { choice.Add(id, record); });
    summary.splits.push_back(
        {.name = name,
         .reader = std::move(reader),
         .statistics = std::move(statistics),
         .choice = std::move(choice),
         .report = report ? std::move((*report)[name]) : storage::SplitReport{}});
  }
  return summary;
}

std::string ClassLabel(const storage::ClassInfo& info) {
  return info.name == info.id ? info.id : info.name + " (" + info.id + ")";
}

}  // namespace millrace::pipeline
