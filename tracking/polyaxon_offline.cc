#include "tracking/polyaxon_offline.h"

#include <nlohmann/json.hpp>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "tracking/polyaxon_format.h"
#include "tracking/polyaxon_record.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json ReadOr(const fs::path& path, Json otherwise) {
  std::error_code code;
  if (!fs::exists(path, code)) return otherwise;
  Json json = Json::parse(ReadFile(path), nullptr, false);
  if (json.type() != otherwise.type()) Fail("{} is damaged", path.string());
  return json;
}

void Merge(Json* to, const Json& from) {
  if (!to->is_object()) *to = Json::object();
  to->update(from);
}

}  // namespace

void WriteOffline(const PolyaxonSettings& settings, const RunDescription& run,
                  const std::string& uuid, const PolyaxonFiles& files,
                  std::span<const RemoteEvent> events) {
  const fs::path path = files.folder() / "run.plx.json";
  Json record = ReadOr(path, PolyaxonRun(run, uuid, events.front().time_ms));
  record["owner"] = settings.owner;
  record["project"] = settings.project;
  for (const RemoteEvent& event : events) {
    if (const auto* parameters = std::get_if<Parameters>(&event.what)) {
      Merge(&record["inputs"], PolyaxonInputs(*parameters));
    } else if (const auto* status = std::get_if<Status>(&event.what)) {
      const Json condition = PolyaxonCondition(*status, event.time_ms);
      Json& conditions = record["status_conditions"];
      if (!conditions.is_array()) conditions = Json::array();
      if (conditions.empty() || conditions.back() != condition) conditions.push_back(condition);
      record["status"] = condition["type"];
      if (status->state != Status::State::kRunning) {
        record["finished_at"] = condition["last_transition_time"];
      } else if (!record.contains("started_at")) {
        record["started_at"] = condition["last_transition_time"];
      }
    }
  }
  Merge(&record["outputs"], PolyaxonOutputs(files));
  Merge(&record["meta_info"], PolyaxonMeta(files));

  Json lineages = Json::array();
  if (!run.fingerprint.empty()) lineages.push_back(PolyaxonDataset(run));
  for (const auto& [name, file] : files.files()) {
    if (!file.kind.empty()) lineages.push_back(PolyaxonLineage(name, file));
  }
  WriteFileAtomically(files.folder() / "lineages.plx.json", PolyaxonJson(lineages) + "\n");
  WriteFileAtomically(path, PolyaxonJson(record) + "\n");
}

}  // namespace millrace::tracking
