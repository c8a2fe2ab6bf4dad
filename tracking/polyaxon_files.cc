#include "tracking/polyaxon_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "base/utf8.h"
#include "tracking/polyaxon_format.h"
#include "tracking/tags.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Row {
  std::uint64_t step = 0;
  std::optional<double> value;  // of metrics
};

// Nothing: a header, an empty line, or none that traceml writes.
std::optional<Row> ReadRow(const std::string& kind, const std::string& line) {
  if (kind == "text") {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_unsigned()) {
      return std::nullopt;
    }
    return Row{.step = json["step"], .value = {}};
  }
  Row row;
  const auto [end, code] = std::from_chars(line.data(), line.data() + line.size(), row.step);
  if (code != std::errc{} || *end != '|') return std::nullopt;
  const std::size_t bar = line.find('|', static_cast<std::size_t>(end - line.data()) + 1);
  if (bar == std::string::npos) return std::nullopt;
  if (kind == "metric") row.value = std::strtod(line.c_str() + bar + 1, nullptr);
  return row;
}

void Widen(PolyaxonFiles::File* file, double value) {
  if (!std::isfinite(value)) return;
  file->min = file->last ? std::min(file->min, value) : value;
  file->max = file->last ? std::max(file->max, value) : value;
  file->last = value;
}

}  // namespace

// Collected by file, so that each is written once.
struct PolyaxonFiles::Rows {
  std::map<std::string, File>& files;
  std::map<std::string, std::string> text;

  // The file's entry; a row is added to it. Null: it has the point from elsewhere. JSON lines have
  // no header.
  File* Add(std::string_view kind, const std::string& tag, std::uint64_t step, std::int64_t time_ms,
            const std::string& value) {
    const std::string name = PolyaxonName(tag);
    const std::string path = fmt::format("events/{}/{}.plx", kind, name);
    File* file = AddTo(path, kind, step, time_ms, value);
    if (file == nullptr) return nullptr;
    file->kind = kind;
    file->name = name;
    return file;
  }

  // What the machine uses, beside events: its pages have a place of their own for that.
  void AddResource(const std::string& name, std::uint64_t step, std::int64_t time_ms,
                   const std::string& value) {
    AddTo(fmt::format("{}/{}.plx", kResources, PolyaxonName(name)), "metric", step, time_ms, value);
  }

  File* AddTo(const std::string& path, std::string_view kind, std::uint64_t step,
              std::int64_t time_ms, const std::string& value) {
    const auto [at, fresh] = files.try_emplace(path);
    File& file = at->second;
    if (file.told_elsewhere && step <= *file.told_elsewhere) return nullptr;
    std::string& rows = text[path];
    if (fresh) {
      file.first_step = step;
      if (kind != "text") rows = fmt::format("step|timestamp|{}", kind);
    }
    if (kind == "text") {
      rows +=
          "\n" + PolyaxonJson(
                     {{"timestamp", PolyaxonTime(time_ms, ' ')}, {"step", step}, {"text", value}});
    } else {
      rows += fmt::format("\n{}|{}|{}", step, PolyaxonTime(time_ms, ' '), value);
    }
    ++file.rows;
    file.last_step = step;
    file.waiting = true;
    return &file;
  }

  void Log(const std::string& host, std::int64_t time_ms, const std::string& line) {
    if (line.empty()) return;
    text[std::string(kLog)] += "\n" + PolyaxonJson({{"timestamp", PolyaxonTime(time_ms, 'T')},
                                                    {"node", host},
                                                    {"pod", "millrace"},
                                                    {"container", "millrace"},
                                                    {"value", line}});
    files[std::string(kLog)].waiting = true;
  }
};

PolyaxonFiles::PolyaxonFiles(fs::path folder, fs::path state, bool with_log)
    : folder_(std::move(folder)), state_(std::move(state)), with_log_(with_log), host_(HostName()) {
  CreateFolders(folder_);
  ReadState();
}

PolyaxonFiles::~PolyaxonFiles() = default;

void PolyaxonFiles::ReadState() {
  std::error_code code;
  if (!fs::exists(state_, code)) return;
  const Json state = Json::parse(ReadFile(state_), nullptr, false);
  try {
    last_ = state.at("last");
    for (const auto& [path, json] : state.at("files").items()) {
      if (!fs::exists(folder_ / path, code)) continue;  // it was delivered
      File& file = files_[path];
      file.kind = json.at("kind");
      file.name = json.at("name");
      file.bytes = json.at("bytes");
      file.rows = json.at("rows");
      file.first_step = json.at("first_step");
      file.last_step = json.at("last_step");
      if (json.contains("last")) {
        file.min = json.at("min");
        file.max = json.at("max");
        file.last = json.at("last").get<double>();
      }
      file.waiting = json.at("waiting");
      file.rows_delivered = json.at("rows_delivered");
      if (json.contains("told_elsewhere")) {
        file.told_elsewhere = json.at("told_elsewhere").get<std::uint64_t>();
      }
    }
  } catch (const Json::exception&) {
    Fail("{} is damaged; remove its folder to report to a new Polyaxon run", state_.string());
  }
}

void PolyaxonFiles::WriteState() const {
  Json files = Json::object();
  for (const auto& [path, file] : files_) {
    Json json = {{"kind", file.kind},
                 {"name", file.name},
                 {"bytes", file.bytes},
                 {"rows", file.rows},
                 {"first_step", file.first_step},
                 {"last_step", file.last_step},
                 {"waiting", file.waiting},
                 {"rows_delivered", file.rows_delivered}};
    if (file.last) {
      json["min"] = file.min;
      json["max"] = file.max;
      json["last"] = *file.last;
    }
    if (file.told_elsewhere) json["told_elsewhere"] = *file.told_elsewhere;
    files[path] = std::move(json);
  }
  WriteFileAtomically(state_, PolyaxonJson({{"last", last_}, {"files", std::move(files)}}) + "\n");
}

void PolyaxonFiles::Append(const std::string& path, const std::string& rows) {
  File& file = files_[path];
  std::unique_ptr<AppendFile>& open = open_[path];
  if (open == nullptr) {
    CreateFolders((folder_ / path).parent_path());
    // What a killed process wrote without noting it comes again.
    std::error_code code;
    const std::uint64_t there =
        fs::exists(folder_ / path, code) ? fs::file_size(folder_ / path) : 0;
    open = std::make_unique<AppendFile>(folder_ / path, std::min(file.bytes, there));
  }
  open->Append(rows);
  open->Sync();
  file.bytes = open->size();
}

std::string PolyaxonFiles::TakeArtifact(const Artifact& artifact) {
  const fs::path name = fs::path(artifact.name).lexically_normal();
  if (name.empty() || name.is_absolute() || *name.begin() == ".." || !IsUtf8(name.string())) {
    return fmt::format("\"{}\" is no name for an artifact", Printable(artifact.name));
  }
  std::error_code code;
  if (!fs::is_regular_file(artifact.path, code)) {
    return artifact.path.string() + " is not there any more";
  }
  const std::string path = "outputs/" + name.string();
  const fs::path target = folder_ / path;
  CreateFolders(target.parent_path());
  fs::remove(target, code);
  fs::create_hard_link(artifact.path, target, code);
  // Not every file system can, nor across two of them.
  if (code) fs::copy_file(artifact.path, target, code);
  if (code) Fail("cannot write {}: {}", target.string(), code.message());
  File& file = files_[path];
  file.kind = name.extension() == ".safetensors" ? "model" : "file";
  file.name = PolyaxonName(artifact.name);
  file.waiting = true;
  return "";
}

void PolyaxonFiles::Add(const RemoteEvent& event, Rows* rows) {
  const std::int64_t time = event.time_ms;
  if (const auto* scalars = std::get_if<Scalars>(&event.what)) {
    for (const auto& [name, value] : scalars->values) {
      if (scalars->group == kSystemGroup) {
        rows->AddResource(name, scalars->step, time, fmt::format("{}", value));
        continue;
      }
      const Place place = PlaceOf(*scalars, name);
      File* file = rows->Add("metric", place.tag, place.x, time, fmt::format("{}", value));
      if (file != nullptr) Widen(file, value);
    }
  } else if (const auto* picture = std::get_if<Picture>(&event.what)) {
    const std::string path =
        fmt::format("assets/image/{}_{}.png", PolyaxonName(picture->name), picture->step);
    const File* file = rows->Add(
        "image", picture->name, picture->step, time,
        PolyaxonJson({{"height", picture->height}, {"width", picture->width}, {"path", path}}));
    if (file == nullptr) return;
    CreateFolders(folder_ / "assets/image");
    WriteFileAtomically(folder_ / path, picture->png);
    files_[path].waiting = true;
  } else if (const auto* note = std::get_if<Note>(&event.what)) {
    rows->Add("text", note->name, note->step, time, note->markdown);
  } else if (const auto* histogram = std::get_if<Histogram>(&event.what)) {
    // traceml calls the counts "values", and the edges, one more, "counts".
    Json edges = Json::array({histogram->min});
    for (const double limit : histogram->limits) edges.push_back(limit);
    rows->Add("histogram", histogram->name, histogram->step, time,
              PolyaxonJson({{"values", histogram->counts}, {"counts", std::move(edges)}}));
  } else if (const auto* curve = std::get_if<PrCurve>(&event.what)) {
    Json recall = Json::array();
    Json precision = Json::array();
    for (std::size_t i = 0; i < curve->true_positives.size(); ++i) {
      const double hits = curve->true_positives[i];
      const double found = hits + curve->false_positives[i];
      const double there = hits + curve->false_negatives[i];
      recall.push_back(there > 0 ? hits / there : 0);
      precision.push_back(found > 0 ? hits / found : 1);
    }
    rows->Add(
        "curve", curve->name, curve->step, time,
        PolyaxonJson({{"kind", "pr"}, {"x", std::move(recall)}, {"y", std::move(precision)}}));
  } else if (const auto* message = std::get_if<Message>(&event.what)) {
    if (with_log_) rows->Log(host_, time, message->line);
  }
}

std::map<std::uint64_t, std::string> PolyaxonFiles::Write(std::span<const RemoteEvent> events) {
  std::map<std::uint64_t, std::string> left_out;
  std::map<std::string, File> before = files_;
  const std::uint64_t last_before = last_;
  try {
    Rows rows{files_, {}};
    for (const RemoteEvent& event : events) {
      if (event.number <= last_) continue;
      last_ = event.number;
      Add(event, &rows);
      if (const auto* artifact = std::get_if<Artifact>(&event.what)) {
        std::string reason = TakeArtifact(*artifact);
        if (!reason.empty()) left_out.emplace(event.number, std::move(reason));
      }
    }
    if (last_ == last_before) return {};
    for (const auto& [path, text] : rows.text) Append(path, text);
    WriteState();
  } catch (...) {
    // Files may be longer than the state says: they are opened and cut anew.
    open_.clear();
    files_ = std::move(before);
    last_ = last_before;
    throw;
  }
  return left_out;
}

bool PolyaxonFiles::Gathers(const File& file) {
  return file.kind == "histogram" &&
         file.rows < file.rows_delivered + std::max<std::uint64_t>(file.rows_delivered / 2, 1);
}

void PolyaxonFiles::Delivered(const std::string& path) {
  const auto at = files_.find(path);
  if (at == files_.end()) return;
  at->second.waiting = false;
  at->second.rows_delivered = at->second.rows;
  if (path.starts_with("assets/")) {
    files_.erase(at);
  } else if (path.starts_with("outputs/")) {
    std::error_code code;
    fs::remove(folder_ / path, code);
    files_.erase(at);
  }
}

bool PolyaxonFiles::IsOfEvents(const std::string& path) {
  return path.starts_with("events/") && path.ends_with(".plx") &&
         fs::path(path).lexically_normal().string() == path;
}

void PolyaxonFiles::GoOnWith(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    const auto [at, fresh] = files_.try_emplace(path);
    if (!fresh) continue;
    File& file = at->second;
    const std::string content = ReadFile(folder_ / path);
    file.bytes = content.size();
    if (path == kLog) continue;
    const fs::path parts(path);
    const std::string kind = parts.parent_path().filename().string();
    if (IsOfEvents(path)) {
      file.kind = kind;
      file.name = parts.stem().string();
    }
    for (std::size_t begin = 0; begin < content.size();) {
      const std::size_t end = std::min(content.find('\n', begin), content.size());
      if (const auto row = ReadRow(kind, content.substr(begin, end - begin))) {
        file.first_step = file.rows == 0 ? row->step : std::min(file.first_step, row->step);
        file.last_step = row->step;
        file.told_elsewhere = std::max(file.told_elsewhere.value_or(0), row->step);
        ++file.rows;
        if (row->value) Widen(&file, *row->value);
      }
      begin = end + 1;
    }
    file.rows_delivered = file.rows;
  }
  WriteState();
}

void PolyaxonFiles::DeliverAgain() {
  for (auto& [path, file] : files_) {
    file.waiting = true;
    file.rows_delivered = 0;
  }
  const fs::path assets = folder_ / "assets";
  std::error_code code;
  for (const auto& entry : fs::recursive_directory_iterator(assets, code)) {
    if (!entry.is_regular_file()) continue;
    files_[entry.path().lexically_relative(folder_).string()].waiting = true;
  }
  WriteState();
}

}  // namespace millrace::tracking
