#include "tracking/clearml.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>
#include <variant>

#include "base/sha256.h"
#include "base/utf8.h"
#include "tracking/clearml_api.h"
#include "tracking/clearml_path.h"
#include "tracking/tags.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;
using Json = ClearmlTarget::Json;

// A server's index has floats of 32 bits, and refuses what is none.
constexpr double kLargest = std::numeric_limits<float>::max();

std::string Text(const std::string& text) { return IsUtf8(text) ? text : Printable(text); }

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// "training/loss" is the series "loss" of the graph "training".
std::pair<std::string, std::string> GraphAndSeries(const std::string& tag) {
  const std::size_t slash = tag.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == tag.size()) return {tag, tag};
  return {tag.substr(0, slash), tag.substr(slash + 1)};
}

Json Parameter(const char* section, const std::string& name, const std::string& value,
               const char* type) {
  return {{"section", section}, {"name", Text(name)}, {"value", Text(value)}, {"type", type}};
}

Json Parameter(const std::string& name, const Parameters::Value& value) {
  constexpr const char* kSection = "General";
  if (const bool* flag = std::get_if<bool>(&value)) {
    return Parameter(kSection, name, *flag ? "true" : "false", "bool");
  }
  if (const double* number = std::get_if<double>(&value)) {
    return Parameter(kSection, name, fmt::format("{}", *number), "float");
  }
  return Parameter(kSection, name, std::get<std::string>(value), "str");
}

// A figure of Plotly, which ClearML's pages draw.
Json Figure(Json data, const std::string& title, const char* x, const char* y) {
  return {{"data", Json::array({std::move(data)})},
          {"layout", {{"title", title}, {"xaxis", {{"title", x}}}, {"yaxis", {{"title", y}}}}}};
}

}  // namespace

Clearml::Clearml(std::unique_ptr<ClearmlTarget> target, ClearmlRun run, std::string worker,
                 bool sends_lines)
    : target_(std::move(target)),
      run_(std::move(run)),
      worker_(std::move(worker)),
      sends_lines_(sends_lines),
      events_(std::make_unique<Json>(Json::array())) {}

bool Clearml::Takes(const RemoteEvent::What& what) const {
  return sends_lines_ || !std::holds_alternative<Message>(what);
}

void Clearml::AddPoint(const RemoteEvent& event, const char* type, const std::string& tag,
                       std::uint64_t step, const Json& content) {
  const auto [graph, series] = GraphAndSeries(Text(tag));
  Json point = {
      {"type", type},    {"task", target_->task_id()}, {"timestamp", event.time_ms}, {"iter", step},
      {"metric", graph}, {"variant", series}};
  point.update(content);
  events_->push_back(std::move(point));
}

void Clearml::AddLine(const RemoteEvent& event, const std::string& line) {
  events_->push_back({{"type", "log"},
                      {"task", target_->task_id()},
                      {"timestamp", event.time_ms},
                      {"level", "info"},
                      {"worker", worker_},
                      {"msg", Text(line)}});
}

void Clearml::AddSample(const RemoteEvent& event, const std::string& tag, std::uint64_t step,
                        std::string_view bytes, std::string_view extension) {
  const auto [graph, series] = GraphAndSeries(Text(tag));
  const std::string path =
      fmt::format("{}/metrics/{}/{}/{:08}.{}", target_->files_folder(), ClearmlPathPart(graph),
                  ClearmlPathPart(series), step, extension);
  const std::string url = target_->Put(path, bytes);
  AddPoint(event, "training_debug_image", tag, step, {{"key", path}, {"url", url}});
}

void Clearml::Take(const RemoteEvent& event, const Scalars& scalars) {
  for (const auto& [name, value] : scalars.values) {
    const Place place = PlaceOf(scalars, name);
    if (std::abs(value) <= kLargest) {
      AddPoint(event, "training_stats_scalar", place.tag, place.x, {{"value", value}});
    } else if (no_number_.try_emplace(place.tag, event.number).first->second == event.number) {
      AddLine(event, fmt::format("{} is {} at {}: ClearML has no such number, it is left out, as "
                                 "are later ones",
                                 place.tag, value, place.x));
    }
  }
}

void Clearml::Take(const RemoteEvent& event, const Message& message) {
  // An event that could not be read is an empty one.
  if (!message.line.empty()) AddLine(event, message.line);
}

void Clearml::Take(const RemoteEvent&, const Parameters& parameters) {
  Json list = Json::array();
  for (const auto& [name, value] : parameters.values) list.push_back(Parameter(name, value));
  list.push_back(Parameter("Dataset", "path", run_.dataset, "str"));
  list.push_back(Parameter("Dataset", "fingerprint", run_.fingerprint, "str"));
  target_->SetParameters(list);
}

void Clearml::Take(const RemoteEvent& event, const Picture& picture) {
  AddSample(event, picture.name, picture.step, picture.png, "png");
}

void Clearml::Take(const RemoteEvent& event, const Note& note) {
  AddSample(event, note.name, note.step, note.markdown, "md");
}

void Clearml::Take(const RemoteEvent& event, const Histogram& histogram) {
  Json middles = Json::array();
  Json widths = Json::array();
  double low = histogram.min;
  for (const double limit : histogram.limits) {
    const double high = std::min(limit, histogram.max);
    middles.push_back((low + high) / 2);
    widths.push_back(high - low);
    low = high;
  }
  const Json figure = Figure({{"type", "bar"},
                              {"name", Text(histogram.name)},
                              {"x", std::move(middles)},
                              {"width", std::move(widths)},
                              {"y", histogram.counts}},
                             Text(histogram.name), "value", "count");
  AddPoint(event, "plot", histogram.name, histogram.step, {{"plot_str", Dump(figure)}});
}

void Clearml::Take(const RemoteEvent& event, const PrCurve& curve) {
  Json recall = Json::array();
  Json precision = Json::array();
  // From the highest threshold on, so that the line goes to the right. Nothing found is no mistake.
  for (std::size_t i = curve.true_positives.size(); i-- > 0;) {
    const double hits = curve.true_positives[i];
    const double found = hits + curve.false_positives[i];
    const double there = hits + curve.false_negatives[i];
    recall.push_back(there > 0 ? hits / there : 0);
    precision.push_back(found > 0 ? hits / found : 1);
  }
  const Json figure = Figure({{"type", "scatter"},
                              {"mode", "lines"},
                              {"name", Text(curve.name)},
                              {"x", std::move(recall)},
                              {"y", std::move(precision)}},
                             Text(curve.name), "recall", "precision");
  AddPoint(event, "plot", curve.name, curve.step, {{"plot_str", Dump(figure)}});
}

void Clearml::Take(const RemoteEvent& event, const Artifact& artifact) {
  std::error_code code;
  if (!fs::is_regular_file(artifact.path, code)) {
    throw ClearmlFailure{
        {Delivery::Outcome::kRefused, artifact.path.string() + " is not there any more"}};
  }
  const std::string path =
      fmt::format("{}/artifacts/{}/{}", target_->files_folder(), ClearmlPathPart(artifact.name),
                  ClearmlPathPart(artifact.path.filename().string()));
  const std::string url = target_->PutFile(path, artifact.path);
  target_->AddArtifact({{"key", Text(artifact.name)},
                        {"type", "custom"},
                        {"mode", "output"},
                        {"uri", url},
                        {"content_size", fs::file_size(artifact.path)},
                        {"hash", Sha256OfFile(artifact.path)},
                        {"timestamp", event.time_ms / 1000},
                        {"type_data", {{"content_type", "application/octet-stream"}}}});
}

void Clearml::Take(const RemoteEvent&, const Status& status) {
  Flush();
  target_->SetStatus(status);
}

void Clearml::Take(const RemoteEvent& event) {
  std::visit([this, &event](const auto& what) { this->Take(event, what); }, event.what);
}

void Clearml::Flush() {
  if (!events_->empty()) target_->AddEvents(std::exchange(*events_, Json::array()));
}

void Clearml::KeepAlive() {
  try {
    target_->KeepAlive();
  } catch (const ClearmlFailure&) {
    // As for what Remote catches.
  }
}

Delivery Clearml::Deliver(std::span<const RemoteEvent> events) {
  *events_ = Json::array();
  try {
    // A line after the end does not open a task again.
    const bool goes_on = std::any_of(events.begin(), events.end(), [](const RemoteEvent& event) {
      return !std::holds_alternative<Message>(event.what) &&
             !std::holds_alternative<Status>(event.what);
    });
    target_->Open(goes_on);
    for (const RemoteEvent& event : events) Take(event);
    Flush();
    return {};
  } catch (const ClearmlFailure& failure) {
    return failure.delivery;
  } catch (const Json::exception&) {
    return {Delivery::Outcome::kTryLater, "its answer is not a ClearML server's"};
  }
}

}  // namespace millrace::tracking
