#include "tracking/tracker_run.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <random>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Paths and names may hold any bytes.
std::string Dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::optional<TrackerRun::Found> TrackerRun::Find(const fs::path& folder) {
  const fs::path path = folder / "run.json";
  std::error_code code;
  if (!fs::exists(path, code)) return std::nullopt;
  try {
    const Json json = Json::parse(ReadFile(path));
    Found found;
    found.state = {.server = json.at("server"),
                   .project = json.at("project"),
                   .key = json.at("key"),
                   .id = json.at("id"),
                   .begun_elsewhere = json.at("begun_elsewhere"),
                   .told_elsewhere = json.at("told_elsewhere"),
                   .told = json.at("told")};
    found.run.name = json.at("name");
    found.run.dataset = json.at("dataset").get<std::string>();
    found.run.fingerprint = json.at("fingerprint");
    found.run.command = json.at("command");
    return found;
  } catch (const Json::exception&) {
    Fail("{} is damaged; remove its folder to report to a new run", path.string());
  }
}

TrackerRun::TrackerRun(fs::path folder, const Place& place, RunDescription run,
                       const std::function<void(const std::string&)>& tell)
    : folder_(std::move(folder)), system_(place.system), run_(std::move(run)) {
  CreateFolders(folder_);
  if (auto found = Find(folder_)) {
    state_ = std::move(found->state);
    state_.server = place.server;  // it may have moved
  } else if (!place.id.empty() || !GoOnFromCheckpoint(place, tell)) {
    std::random_device random;
    state_ = {.server = place.server,
              .project = place.project,
              .key = fmt::format("{:08x}{:08x}{:08x}", random(), random(), random()),
              .id = place.id,
              .begun_elsewhere = !place.id.empty(),
              .told_elsewhere = {}};
  }
  Write();
}

bool TrackerRun::GoOnFromCheckpoint(const Place& place,
                                    const std::function<void(const std::string&)>& tell) {
  const Json before = Json::parse(run_.before, nullptr, /*allow_exceptions=*/false);
  if (!before.is_object() || before.value("system", "") != place.system || place.server.empty()) {
    return false;
  }
  const std::string server = before.value("server", "");
  const std::string project = before.value("project", "");
  const std::string name = before.value("name", "");
  if (server != place.server || project != place.project || name != run_.name) {
    tell(fmt::format("a new run of {}: the checkpoint's is called {} and is at {}{}", place.system,
                     name, server, project.empty() ? "" : " in " + project));
    return false;
  }
  state_ = {.server = server,
            .project = project,
            .key = before.value("key", ""),
            .id = before.value("id", ""),
            .begun_elsewhere = true,
            .told_elsewhere = {}};
  tell(
      fmt::format("going on with the checkpoint's run of {}{}; it would be a new one under another "
                  "name (--set name=...)",
                  place.system, state_.id.empty() ? "" : ", " + state_.id));
  return true;
}

void TrackerRun::Change(State state) {
  {
    const std::lock_guard lock(mutex_);
    state_ = std::move(state);
  }
  Write();
}

void TrackerRun::Write() const {
  const Json json = {{"server", state_.server},
                     {"project", state_.project},
                     {"key", state_.key},
                     {"id", state_.id},
                     {"begun_elsewhere", state_.begun_elsewhere},
                     {"told_elsewhere", state_.told_elsewhere},
                     {"told", state_.told},
                     {"name", run_.name},
                     {"dataset", run_.dataset.string()},
                     {"fingerprint", run_.fingerprint},
                     {"command", run_.command}};
  WriteFileAtomically(folder_ / "run.json", Dump(json, 2) + "\n");
}

std::string TrackerRun::ForCheckpoint() const {
  const std::lock_guard lock(mutex_);
  if (state_.server.empty()) return "";
  return Dump({{"system", system_},
               {"server", state_.server},
               {"project", state_.project},
               {"key", state_.key},
               {"id", state_.id},
               {"name", run_.name}},
              -1);
}

}  // namespace millrace::tracking
