#include "tracking/polyaxon_record.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/build_info.h"
#include "tracking/polyaxon_format.h"

namespace millrace::tracking {
namespace {

using Json = nlohmann::ordered_json;

const char* StatusName(Status::State state) {
  switch (state) {
    case Status::State::kRunning:
      return "running";
    case Status::State::kFinished:
      return "succeeded";
    case Status::State::kInterrupted:
      return "stopped";
    case Status::State::kFailed:
      return "failed";
  }
  return "running";
}

}  // namespace

Json PolyaxonRun(const RunDescription& run, const std::string& uuid, std::int64_t time_ms) {
  return {{"uuid", uuid},
          {"name", run.name},
          {"description", fmt::format("millrace {} {}", BuildVersion(), BuildCommit())},
          {"tags", Json::array({"millrace"})},
          {"created_at", PolyaxonTime(time_ms, 'T')},
          {"kind", "job"},
          {"is_managed", false},
          {"managed_by", "user"},
          {"status", "created"}};
}

Json PolyaxonInputs(const Parameters& parameters) {
  Json inputs = Json::object();
  for (const auto& [name, value] : parameters.values) {
    std::visit([&inputs, &key = name](const auto& v) { inputs[key] = v; }, value);
  }
  return inputs;
}

Json PolyaxonOutputs(const PolyaxonFiles& files) {
  Json outputs = Json::object();
  for (const auto& [path, file] : files.files()) {
    if (file.kind == "metric" && file.last) outputs[file.name] = *file.last;
  }
  return outputs;
}

Json PolyaxonMeta(const PolyaxonFiles& files) {
  Json meta = Json::object();
  for (const auto& [path, file] : files.files()) {
    if (file.kind == "metric") meta["has_metrics"] = true;
    if (path.starts_with("events/")) meta["has_events"] = true;
    if (file.kind == "model") meta["has_model"] = true;
  }
  return meta;
}

Json PolyaxonCondition(const Status& status, std::int64_t time_ms) {
  const std::string time = PolyaxonTime(time_ms, 'T');
  return {{"type", StatusName(status.state)},
          {"status", true},
          {"reason", "millrace"},
          {"message",
           status.reason.empty() ? fmt::format("after {} steps", status.step) : status.reason},
          {"last_update_time", time},
          {"last_transition_time", time}};
}

Json PolyaxonLineage(const std::string& path, const PolyaxonFiles::File& file) {
  Json summary = Json::object();
  if (path.starts_with("events/")) {
    summary["is_event"] = true;
    summary["step"] = {{"count", file.rows}, {"min", file.first_step}, {"max", file.last_step}};
  } else {
    summary["path"] = path;
    if (file.kind == "model") summary["framework"] = "pytorch";
  }
  if (file.last) {
    summary["metric"] = {
        {"count", file.rows}, {"min", file.min}, {"max", file.max}, {"last", *file.last}};
  }
  return {{"name", file.name},
          {"kind", file.kind},
          {"path", path},
          {"summary", std::move(summary)},
          {"is_input", false}};
}

Json PolyaxonDataset(const RunDescription& run) {
  return {{"name", PolyaxonName(run.dataset.filename().string())},
          {"kind", "data"},
          {"path", run.dataset.string()},
          {"summary", {{"path", run.dataset.string()}, {"hash", run.fingerprint}}},
          {"is_input", true}};
}

}  // namespace millrace::tracking
