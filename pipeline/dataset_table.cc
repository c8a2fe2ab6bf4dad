#include "pipeline/dataset_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>

#include "base/format.h"
#include "base/hash.h"
#include "base/histogram.h"
#include "base/utf8.h"

namespace millrace::pipeline {
namespace {

using Json = nlohmann::ordered_json;
using storage::Statistics;

constexpr std::size_t kFewClasses = 20;     // all of them are listed
constexpr std::size_t kExtremeClasses = 5;  // that are listed at each end where there are more
constexpr std::size_t kExampleSamples = 3;  // named of each repair
constexpr std::size_t kListedFiles = 5;     // of each list of the report
constexpr std::size_t kSparklineBins = 32;

// A histogram in one line, the highest bar as high as the line.
std::string Sparkline(const Histogram& histogram) {
  static constexpr std::array<std::string_view, 9> kBars = {
      " ", "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"};
  std::vector<std::uint64_t> counts;
  for (const auto& bin : histogram.bins()) counts.push_back(bin.count);
  while (counts.size() > kSparklineBins) {
    for (std::size_t i = 0; i < counts.size(); i += 2) {
      counts[i / 2] = counts[i] + (i + 1 < counts.size() ? counts[i + 1] : 0);
    }
    counts.resize((counts.size() + 1) / 2);
  }
  const std::uint64_t most = counts.empty() ? 0 : *std::max_element(counts.begin(), counts.end());
  std::string line;
  for (const std::uint64_t count : counts) {
    // Whatever is there is to be seen.
    const auto height =
        static_cast<std::size_t>(static_cast<double>(count) * 8 / static_cast<double>(most) + 0.5);
    line += kBars[count == 0 ? 0 : std::max<std::size_t>(height, 1)];
  }
  return line;
}

std::string SizeRow(std::string_view name, const storage::Spread& spread,
                    const Histogram& histogram, std::string (*format)(std::uint64_t)) {
  return fmt::format("  {:<9} {:>10} {:>10} {:>10}  {}\n", name, format(spread.min),
                     format(spread.median), format(spread.max), Sparkline(histogram));
}

// Adds "name count" to a list in one line.
void AppendCount(std::string* list, std::string_view name, std::uint64_t count) {
  if (count == 0) return;
  *list += fmt::format("{}{} {}", list->empty() ? "" : "   ", name, FormatCount(count));
}

std::string Chroma(const Statistics& statistics) {
  std::string list;
  for (std::size_t i = 0; i < statistics.per_subsampling.size(); ++i) {
    AppendCount(&list, storage::SubsamplingName(static_cast<storage::Subsampling>(i)),
                statistics.per_subsampling[i]);
  }
  return list;
}

std::string RepairRows(const SplitSummary& split) {
  std::string rows;
  for (std::size_t i = 0; i < storage::kRepairs.size(); ++i) {
    if (split.statistics.per_repair[i] == 0) continue;
    const auto& chosen = split.choice.WithRepair(storage::kRepairs[i]);
    std::string ids;
    for (std::size_t k = 0; k < std::min(kExampleSamples, chosen.size()); ++k) {
      ids += fmt::format("{}{}", k == 0 ? "" : ", ", chosen[k].id);
    }
    rows += fmt::format("    {:>10}  {}, such as sample {}\n",
                        FormatCount(split.statistics.per_repair[i]),
                        storage::RepairName(storage::kRepairs[i]), ids);
  }
  return rows;
}

std::string ClassRows(const storage::Manifest& manifest, const Statistics& statistics, bool all) {
  std::vector<std::size_t> labels(manifest.classes.size());
  std::iota(labels.begin(), labels.end(), std::size_t{0});
  const auto row = [&](std::size_t label) {
    return fmt::format("    {:>10}  {}\n", FormatCount(statistics.per_class[label]),
                       Printable(ClassLabel(manifest.classes[label])));
  };
  std::string rows;
  if (all || labels.size() <= kFewClasses) {
    for (const std::size_t label : labels) rows += row(label);
    return rows;
  }
  std::stable_sort(labels.begin(), labels.end(), [&](std::size_t a, std::size_t b) {
    return statistics.per_class[a] < statistics.per_class[b];
  });
  for (std::size_t i = 0; i < kExtremeClasses; ++i) rows += row(labels[i]);
  rows += fmt::format("    {:>10}  {} more classes, all of them with --classes\n", "...",
                      FormatCount(labels.size() - 2 * kExtremeClasses));
  for (std::size_t i = labels.size() - kExtremeClasses; i < labels.size(); ++i)
    rows += row(labels[i]);
  return rows;
}

std::string FileRows(std::string_view what, const storage::ReportedFiles& files) {
  if (files.total == 0) return {};
  std::string rows =
      fmt::format("  {} file{} {}\n", FormatCount(files.total), files.total == 1 ? "" : "s", what);
  const std::size_t listed = std::min(kListedFiles, files.first.size());
  for (std::size_t i = 0; i < listed; ++i) {
    const auto& [file, fault, action] = files.first[i];
    rows += "    " + Printable(file);
    if (!fault.empty()) rows += ": " + Printable(fault);
    if (!action.empty()) rows += " (" + Printable(action) + ")";
    rows += "\n";
  }
  if (files.total > listed) {
    rows += fmt::format("    ... and {} more in report.json\n", FormatCount(files.total - listed));
  }
  return rows;
}

std::string SplitTable(const storage::Manifest& manifest, const SplitSummary& split,
                       bool all_classes) {
  const Statistics& statistics = split.statistics;
  std::string table =
      fmt::format("\n{}: {} records in {} shards, {}, fingerprint {}\n", Printable(split.name),
                  FormatCount(statistics.records), split.info().shards.size(),
                  FormatBytes(statistics.payload.sum), HashToHex(split.info().fingerprint));
  table += fmt::format("  {:<9} {:>10} {:>10} {:>10}\n", "", "smallest", "median", "largest");
  table += SizeRow("width", statistics.width, statistics.widths, FormatCount);
  table += SizeRow("height", statistics.height, statistics.heights, FormatCount);
  table += SizeRow("pixels", statistics.pixels, statistics.pixel_counts, FormatCount);
  table += SizeRow("file", statistics.payload, statistics.payloads, FormatBytes);
  std::string kinds;
  AppendCount(&kinds, "JPEG", statistics.records - statistics.png);
  AppendCount(&kinds, "PNG", statistics.png);
  table += fmt::format("  kinds     {}\n  chroma    {}\n", kinds, Chroma(statistics));
  if (statistics.indexed > 0) {
    table += fmt::format(
        "  index     {} records; {} with the restart markers, {:.2f} % of the pictures\n",
        FormatCount(statistics.indexed), FormatBytes(statistics.index_bytes),
        100 * static_cast<double>(statistics.index_bytes) /
            static_cast<double>(statistics.payload.sum));
  }
  const storage::ConversionInfo& conversion = split.info().conversion;
  table += fmt::format("  stored    {}, dealt with seed {}\n", Printable(conversion.variant),
                       conversion.seed);
  if (statistics.repaired > 0) {
    table += fmt::format("  {} repaired at conversion\n", FormatCount(statistics.repaired));
    table += RepairRows(split);
  }
  const auto [fewest, most] =
      std::minmax_element(statistics.per_class.begin(), statistics.per_class.end());
  const std::string each = *fewest == *most
                               ? FormatCount(*most)
                               : fmt::format("{} to {}", FormatCount(*fewest), FormatCount(*most));
  table += fmt::format("  {} classes of {} records\n", FormatCount(manifest.classes.size()), each);
  table += ClassRows(manifest, statistics, all_classes);
  const storage::SplitReport& report = split.report;
  if (report.files) {
    table += fmt::format("  made of {} files{}\n", FormatCount(*report.files),
                         report.bytes_in ? ", " + FormatBytes(*report.bytes_in) : "");
  }
  table += FileRows("not used", report.bad);
  table += FileRows("changed", report.changed);
  table += FileRows("passed over, for not being pictures", report.ignored);
  return table;
}

Json SpreadJson(const storage::Spread& spread) {
  return {{"min", spread.min}, {"median", spread.median}, {"max", spread.max}, {"sum", spread.sum}};
}

Json HistogramJson(const Histogram& histogram) {
  Json bins = Json::array();
  for (const auto& bin : histogram.bins()) bins.push_back({bin.first, bin.last, bin.count});
  return bins;
}

Json FilesJson(const storage::ReportedFiles& files) {
  Json first = Json::array();
  for (const auto& [file, fault, action] : files.first) {
    first.push_back({{"file", file}, {"fault", fault}, {"action", action}});
  }
  return {{"total", files.total}, {"first", first}};
}

Json ReportJson(const storage::SplitReport& report) {
  Json json = Json::object();
  if (report.files) json["files"] = *report.files;
  if (report.bytes_in) json["bytes_in"] = *report.bytes_in;
  if (report.bytes_out) json["bytes_out"] = *report.bytes_out;
  json["bad"] = FilesJson(report.bad);
  json["changed"] = FilesJson(report.changed);
  json["ignored"] = FilesJson(report.ignored);
  return json;
}

Json SplitJson(const SplitSummary& split) {
  const Statistics& statistics = split.statistics;
  Json json;
  json["records"] = statistics.records;
  json["fingerprint"] = HashToHex(split.info().fingerprint);
  json["shards"] = split.info().shards.size();
  json["width"] = SpreadJson(statistics.width);
  json["height"] = SpreadJson(statistics.height);
  json["pixels"] = SpreadJson(statistics.pixels);
  json["bytes"] = SpreadJson(statistics.payload);
  json["kinds"] = {{"JPEG", statistics.records - statistics.png}, {"PNG", statistics.png}};
  json["chroma"] = Json::object();
  for (std::size_t i = 0; i < statistics.per_subsampling.size(); ++i) {
    if (statistics.per_subsampling[i] == 0) continue;
    json["chroma"][storage::SubsamplingName(static_cast<storage::Subsampling>(i))] =
        statistics.per_subsampling[i];
  }
  json["region_index"] = {{"records", statistics.indexed}, {"bytes", statistics.index_bytes}};
  json["repaired"] = statistics.repaired;
  for (std::size_t i = 0; i < storage::kRepairs.size(); ++i) {
    json["repairs"][storage::RepairName(storage::kRepairs[i])] = statistics.per_repair[i];
  }
  json["per_class"] = statistics.per_class;
  json["histograms"] = {{"width", HistogramJson(statistics.widths)},
                        {"height", HistogramJson(statistics.heights)},
                        {"pixels", HistogramJson(statistics.pixel_counts)},
                        {"bytes", HistogramJson(statistics.payloads)}};
  const storage::ConversionInfo& conversion = split.info().conversion;
  json["conversion"] = {{"pictures", conversion.variant},
                        {"on_bad", conversion.on_bad},
                        {"seed", conversion.seed},
                        {"left_out", conversion.left_out}};
  json["report"] = ReportJson(split.report);
  return json;
}

}  // namespace

std::string SummaryTable(const DatasetSummary& summary, bool all_classes) {
  std::string table = fmt::format(
      "{}: {} classes, dataset fingerprint {}, written by millrace {}\n",
      Printable(summary.folder.string()), FormatCount(summary.manifest.classes.size()),
      HashToHex(summary.manifest.fingerprint), Printable(summary.manifest.tool_version));
  for (const SplitSummary& split : summary.splits) {
    table += SplitTable(summary.manifest, split, all_classes);
  }
  if (!summary.report_fault.empty()) table += "\n" + Printable(summary.report_fault) + "\n";
  return table;
}

std::string SummaryJson(const DatasetSummary& summary) {
  Json json;
  json["fingerprint"] = HashToHex(summary.manifest.fingerprint);
  json["tool_version"] = summary.manifest.tool_version;
  for (const auto& info : summary.manifest.classes) {
    json["classes"].push_back({{"id", info.id}, {"name", info.name}});
  }
  json["splits"] = Json::object();
  for (const SplitSummary& split : summary.splits) json["splits"][split.name] = SplitJson(split);
  if (!summary.report_fault.empty()) json["report_fault"] = summary.report_fault;
  // Only a folder's name may hold what is not UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace millrace::pipeline
