#include "pipeline/dataset_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/format.h"
#include "base/hash.h"
#include "pipeline/convert_picture.h"
#include "pipeline/html.h"
#include "storage/payload_check.h"
#include "storage/pixels.h"

namespace millrace::pipeline {
namespace {

using storage::ClassInfo;
using storage::Statistics;

constexpr std::uint32_t kThumbnailSide = 192;  // [pixels] of the longer side at most
constexpr int kThumbnailQuality = 75;
constexpr std::uint32_t kSmallSide = 64;    // [pixels] pictures up to it are shown magnified
constexpr std::size_t kManyClasses = 50;    // more get a box of their own to scroll in
constexpr std::size_t kGroupedSamples = 4;  // of a class at least, for a heading of its own

double Percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

// The name that people know the dataset by: its folder's.
std::string NameOf(const std::filesystem::path& folder) {
  std::error_code code;
  const auto path = std::filesystem::weakly_canonical(folder, code);
  return (code ? folder : path).filename().string();
}

std::string Chart(std::string_view name, const storage::Spread& spread, const Histogram& histogram,
                  std::string (*format)(std::uint64_t)) {
  return fmt::format(
      "<figure><figcaption><b>{}</b></figcaption>{}<figcaption><span>{}</span>"
      "<span>median {}</span><span>{}</span></figcaption></figure>\n",
      name, HistogramSvg(histogram, spread.median, format), format(spread.min),
      format(spread.median), format(spread.max));
}

// A small table of counts; rows that count nothing are left out.
class CountTable {
 public:
  CountTable(std::string_view caption, std::uint64_t whole) : caption_(caption), whole_(whole) {}

  void Add(std::string_view name, std::uint64_t count) {
    if (count == 0) return;
    rows_ +=
        fmt::format(R"(<tr><td>{}</td><td class="n">{}</td><td class="n dim">{:.2f} %</td></tr>)",
                    name, FormatCount(count), Percent(count, whole_));
    rows_ += "\n";
  }

  std::string Html() const {
    if (rows_.empty()) return {};
    return fmt::format("<table><caption>{}</caption><tbody>\n{}</tbody></table>\n", caption_,
                       rows_);
  }

 private:
  std::string caption_;
  std::uint64_t whole_;
  std::string rows_;
};

std::string Tables(const Statistics& statistics) {
  CountTable kinds("Stored as", statistics.records);
  kinds.Add("JPEG", statistics.records - statistics.png);
  kinds.Add("PNG", statistics.png);
  kinds.Add("with a region index", statistics.indexed);
  CountTable chroma("Chroma", statistics.records);
  for (std::size_t i = 0; i < statistics.per_subsampling.size(); ++i) {
    chroma.Add(storage::SubsamplingName(static_cast<storage::Subsampling>(i)),
               statistics.per_subsampling[i]);
  }
  CountTable repairs("Repaired at conversion", statistics.records);
  for (std::size_t i = 0; i < storage::kRepairs.size(); ++i) {
    repairs.Add(storage::RepairName(storage::kRepairs[i]), statistics.per_repair[i]);
  }
  CountTable bytes("Bytes", statistics.payload.sum);
  bytes.Add("pictures", statistics.payload.sum);
  bytes.Add("region index with its markers", statistics.index_bytes);
  return fmt::format("<div class=\"tables\">\n{}{}{}{}</div>\n", kinds.Html(), chroma.Html(),
                     bytes.Html(), repairs.Html());
}

// A list of the report; `what` says what became of the files.
std::string FileTable(std::string_view what, const storage::ReportedFiles& files) {
  if (files.total == 0) return {};
  std::string html =
      fmt::format("<h3>{} {}</h3>\n<div class=\"scroll files\">\n<table class=\"wide\"><tbody>\n",
                  Plural(files.total, "file"), what);
  for (const auto& [file, fault, action] : files.first) {
    html += fmt::format("<tr><td>{}</td>", EscapeHtml(file));
    if (!fault.empty() || !action.empty()) {
      html += fmt::format("<td>{}</td><td>{}</td>", EscapeHtml(fault), EscapeHtml(action));
    }
    html += "</tr>\n";
  }
  html += "</tbody></table>\n</div>\n";
  if (files.total > files.first.size()) {
    html += fmt::format("<p class=\"dim\">The first {} of {}; the others are in report.json.</p>\n",
                        FormatCount(files.first.size()), FormatCount(files.total));
  }
  return html;
}

std::string SplitSection(const SplitSummary& split, std::size_t index) {
  const Statistics& statistics = split.statistics;
  const storage::SplitReport& report = split.report;
  const auto [fewest, most] =
      std::minmax_element(statistics.per_class.begin(), statistics.per_class.end());
  std::string html = fmt::format(
      "<section id=\"split-{}\">\n<h2>{} <small><code>{}</code></small></h2>\n<dl "
      "class=\"cards\">\n",
      index, EscapeHtml(split.name), HashToHex(split.info().fingerprint));
  html += HtmlCard("pictures", FormatCount(statistics.records));
  html += HtmlCard("bytes", FormatBytes(statistics.payload.sum));
  html += HtmlCard("shards", FormatCount(split.info().shards.size()));
  html += HtmlCard("pictures per class",
                   *fewest == *most
                       ? FormatCount(*most)
                       : fmt::format("{} to {}", FormatCount(*fewest), FormatCount(*most)));
  html += HtmlCard("repaired", FormatCount(statistics.repaired));
  html += HtmlCard("not used", FormatCount(split.info().conversion.left_out));
  html += "</dl>\n<div class=\"charts\">\n";
  html += Chart("Width", statistics.width, statistics.widths, FormatCount);
  html += Chart("Height", statistics.height, statistics.heights, FormatCount);
  html += Chart("Pixels", statistics.pixels, statistics.pixel_counts, FormatCount);
  html += Chart("Bytes", statistics.payload, statistics.payloads, FormatBytes);
  html += "</div>\n" + Tables(statistics);
  if (report.files) {
    html += fmt::format("<p class=\"dim\">Made of {}{}.</p>\n", Plural(*report.files, "file"),
                        report.bytes_in ? ", " + FormatBytes(*report.bytes_in) : "");
  }
  const storage::ConversionInfo& conversion = split.info().conversion;
  html += fmt::format("<p class=\"dim\">Stored {}, dealt with seed {}.</p>\n",
                      EscapeHtml(conversion.variant), conversion.seed);
  html += FileTable("not used", report.bad);
  html += FileTable("changed", report.changed);
  html += FileTable("passed over, for not being pictures", report.ignored);
  return html + "</section>\n";
}

std::string ClassSection(const DatasetSummary& summary) {
  const auto& classes = summary.manifest.classes;
  const bool are_many = classes.size() > kManyClasses;
  std::string html = fmt::format("<section id=\"classes\">\n<h2>Classes <small>{}</small></h2>\n",
                                 FormatCount(classes.size()));
  std::string head = "<tr><th class=\"n\">label</th><th>class</th><th>id</th>";
  std::vector<std::uint64_t> largest;
  for (const SplitSummary& split : summary.splits) {
    const auto& counts = split.statistics.per_class;
    largest.push_back(std::max<std::uint64_t>(1, *std::max_element(counts.begin(), counts.end())));
    head += fmt::format("<th>{}</th>", EscapeHtml(split.name));
    if (!are_many) continue;
    html += fmt::format("<h3>{} <small>pictures of each class, by label</small></h3>\n{}\n",
                        EscapeHtml(split.name), ProfileSvg(counts));
  }
  html += are_many ? "<p></p><div class=\"scroll\">\n" : "<div>\n";
  html += fmt::format("<table class=\"wide\"><thead>{}</tr></thead><tbody>\n", head);
  const char* bar_class = summary.splits.size() == 1 ? "bar" : "bar narrow";
  for (std::size_t label = 0; label < classes.size(); ++label) {
    html += fmt::format("<tr><td class=\"n dim\">{}</td><td>{}</td><td><code>{}</code></td>", label,
                        EscapeHtml(classes[label].name), EscapeHtml(classes[label].id));
    for (std::size_t i = 0; i < summary.splits.size(); ++i) {
      const std::uint64_t count = summary.splits[i].statistics.per_class[label];
      html += fmt::format(
          R"(<td class="{}"><div><i style="width:{:.1f}%"></i><span>{}</span></div></td>)",
          bar_class, 0.75 * Percent(count, largest[i]), FormatCount(count));
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table>\n</div>\n</section>\n";
}

// Makes figures of samples until the pictures' room is used up.
class Gallery {
 public:
  Gallery(const DatasetSummary& summary, std::size_t most_bytes)
      : summary_(summary), room_(most_bytes) {}

  std::string Figure(const storage::SplitReader& reader, std::uint64_t id) {
    const auto record = reader.Read(id);
    if (!record) {
      return fmt::format("<figure>{}<figcaption><span>sample {}</span></figcaption></figure>\n",
                         Words(record.fault().message, "bad"), id);
    }
    const ClassInfo& info = summary_.manifest.classes[record->label];
    std::string repairs;
    for (const storage::Repair repair : storage::kRepairs) {
      if ((record->repairs & repair) == 0) continue;
      repairs += fmt::format("{}{}", repairs.empty() ? "" : ", ", storage::RepairName(repair));
    }
    if (!repairs.empty()) repairs = "<mark>" + repairs + "</mark>";
    return fmt::format(
        "<figure title=\"{}, {}\">{}<figcaption>{}<b>{}</b><span>{} \u00d7 {}</span>"
        "<span>sample {}</span></figcaption></figure>\n",
        EscapeHtml(record->path), FormatBytes(record->payload.size()),
        Picture(*record, ClassLabel(info)), repairs, EscapeHtml(info.name), record->width,
        record->height, id);
  }

  std::size_t pictures() const { return pictures_; }

 private:
  static std::string Words(std::string_view text, std::string_view style) {
    return fmt::format(R"(<div class="picture"><p class="{}">{}</p></div>)", style,
                       EscapeHtml(text));
  }

  std::string Picture(const storage::RecordView& record, const std::string& name) {
    if (std::uint64_t{record.width} * record.height > storage::kMaxHeldPixels) {
      return Words("too large to be shown here", "dim");
    }
    const auto made = thumbnails_.Convert(record.payload, record.path);
    if (!made) return Words(made.fault().message, "bad");
    const bool is_png = storage::PayloadExtension(made->payload) == ".png";
    const std::string uri = DataUri(is_png ? "image/png" : "image/jpeg", made->payload);
    if (uri.size() > room_) return Words("no room left on this page", "dim");
    room_ -= uri.size();
    ++pictures_;
    const bool is_small = std::max(made->width, made->height) <= kSmallSide;
    return fmt::format(
        R"(<div class="picture"><img{} width="{}" height="{}" alt="{}" src="{}"></div>)",
        is_small ? " class=\"small\"" : "", made->width, made->height, EscapeHtml(name), uri);
  }

  const DatasetSummary& summary_;
  std::size_t room_;  // [bytes]
  std::size_t pictures_ = 0;
  PictureConverter thumbnails_{
      {.region_index = false, .max_side = kThumbnailSide, .quality = kThumbnailQuality}};
};

std::string PictureSection(const DatasetSummary& summary, std::size_t index, Gallery* gallery) {
  const SplitSummary& split = summary.splits[index];
  std::string html =
      fmt::format("<section id=\"pictures-{}\">\n<h2>{} <small>pictures</small></h2>\n", index,
                  EscapeHtml(split.name));
  if (split.statistics.repaired > 0) {
    html += fmt::format("<h3>Repaired at conversion <small>{}</small></h3>\n",
                        FormatCount(split.statistics.repaired));
  }
  for (std::size_t i = 0; i < storage::kRepairs.size(); ++i) {
    const auto& chosen = split.choice.WithRepair(storage::kRepairs[i]);
    if (chosen.empty()) continue;
    html += fmt::format("<h4>{} <small>{} of {}</small></h4>\n<div class=\"gallery\">\n",
                        storage::RepairName(storage::kRepairs[i]), FormatCount(chosen.size()),
                        FormatCount(split.statistics.per_repair[i]));
    for (const auto& sample : chosen) html += gallery->Figure(split.reader, sample.id);
    html += "</div>\n";
  }
  // Made in the order of the choice, so that every class has its share of the room, and shown by
  // class.
  std::map<std::uint32_t, std::vector<std::string>> of_class;
  const auto chosen = split.choice.OfClasses();
  for (const auto& sample : chosen) {
    of_class[sample.label].push_back(gallery->Figure(split.reader, sample.id));
  }
  html += fmt::format("<h3>Chosen at random <small>{} of {}</small></h3>\n",
                      FormatCount(chosen.size()), FormatCount(split.statistics.records));
  const bool is_grouped = chosen.size() >= kGroupedSamples * of_class.size();
  if (!is_grouped) html += "<div class=\"gallery\">\n";
  for (const auto& [label, figures] : of_class) {
    if (is_grouped) {
      const ClassInfo& info = summary.manifest.classes[label];
      html += fmt::format("<h4>{} <small>label {}, {}</small></h4>\n<div class=\"gallery\">\n",
                          EscapeHtml(ClassLabel(info)), label,
                          Plural(split.statistics.per_class[label], "picture"));
    }
    for (const std::string& figure : figures) html += figure;
    if (is_grouped) html += "</div>\n";
  }
  if (!is_grouped) html += "</div>\n";
  return html + "</section>\n";
}

std::string Header(const DatasetSummary& summary, const std::string& name) {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  std::string links;
  for (std::size_t i = 0; i < summary.splits.size(); ++i) {
    records += summary.splits[i].statistics.records;
    bytes += summary.splits[i].statistics.payload.sum;
    links += fmt::format("<a href=\"#split-{}\">{}</a>\n", i, EscapeHtml(summary.splits[i].name));
  }
  links += "<a href=\"#classes\">classes</a>\n";
  for (std::size_t i = 0; i < summary.splits.size(); ++i) {
    links += fmt::format("<a href=\"#pictures-{}\">{} pictures</a>\n", i,
                         EscapeHtml(summary.splits[i].name));
  }
  std::string html = fmt::format(
      "<header>\n<h1>{}</h1>\n<p>{} of {} classes, {} in {}</p>\n"
      "<p class=\"dim\">dataset fingerprint <code>{}</code>, written by millrace {}</p>\n",
      EscapeHtml(name), Plural(records, "picture"), FormatCount(summary.manifest.classes.size()),
      FormatBytes(bytes), Plural(summary.splits.size(), "split"),
      HashToHex(summary.manifest.fingerprint), EscapeHtml(summary.manifest.tool_version));
  if (!summary.report_fault.empty()) {
    html += fmt::format("<p class=\"bad\">{}</p>\n", EscapeHtml(summary.report_fault));
  }
  return html + "<nav>\n" + links + "</nav>\n</header>\n";
}

}  // namespace

DatasetPage WriteDatasetPage(const DatasetSummary& summary, const std::filesystem::path& file) {
  const std::string name = NameOf(summary.folder);
  std::string body = Header(summary, name);
  for (std::size_t i = 0; i < summary.splits.size(); ++i) {
    body += SplitSection(summary.splits[i], i);
  }
  body += ClassSection(summary);
  DatasetPage page;
  for (std::size_t i = 0; i < summary.splits.size(); ++i) {
    Gallery gallery(summary, kMostPictureBytes / summary.splits.size());
    body += PictureSection(summary, i, &gallery);
    page.pictures += gallery.pictures();
  }
  body +=
      "<footer>Four bars of sizes make a doubling, the orange one holds the median. Large pictures "
      "are "
      "shown smaller.</footer>\n";
  const std::string html = HtmlPage(name, body);
  WriteFileAtomically(file, html);
  page.bytes = html.size();
  return page;
}

}  // namespace millrace::pipeline
