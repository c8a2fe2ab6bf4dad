#include "tracking/clearml_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <system_error>
#include <utility>

#include "base/build_info.h"
#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "tracking/clearml_path.h"
#include "tracking/clearml_task.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;
using Json = ClearmlTarget::Json;
using enum Delivery::Outcome;

// More than a batch has, so that what is looked for is among them.
constexpr int kLinesToLookUp = 2000;

std::string Text(const Json& object, const char* key) {
  return object.is_object() && object.contains(key) && object[key].is_string()
             ? object[key].get<std::string>()
             : "";
}

}  // namespace

ClearmlServer::ClearmlServer(ClearmlSettings settings, ClearmlRun run,
                             std::unique_ptr<TrackerRun> ours)
    : api_(std::move(settings)), run_(std::move(run)), ours_(std::move(ours)) {}

ClearmlServer::~ClearmlServer() = default;

Json ClearmlServer::Call(const std::string& call, const Json& body) {
  try {
    return api_.Call(call, body);
  } catch (const ClearmlFailure&) {
    open_ = false;
    throw;
  }
}

std::string ClearmlServer::FindProject() {
  const std::string& name = ours_->state().project;
  std::string pattern = "^";
  for (const char c : name) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos)
      pattern.push_back('\\');
    pattern.push_back(c);
  }
  pattern.push_back('$');
  const auto find = [&]() -> std::string {
    const Json found = Call(
        "projects.get_all",
        {{"name", pattern}, {"only_fields", Json::array({"id", "name"})}, {"search_hidden", true}});
    for (const Json& project : found.at("projects")) {
      if (Text(project, "name") == name) return project.at("id");
    }
    return "";
  };
  std::string id = find();
  if (!id.empty()) return id;
  try {
    return Call("projects.create", {{"name", name}, {"description", ""}}).at("id");
  } catch (const ClearmlFailure& failure) {
    // Another run may have made it meanwhile.
    if (failure.subcode != ClearmlApi::kProjectExists) throw;
  }
  id = find();
  if (id.empty()) throw ClearmlFailure{{kTryLater, "it neither shows nor makes the project"}};
  return id;
}

void ClearmlServer::CreateTask() {
  TrackerRun::State state = ours_->state();
  const std::string tag = "millrace-" + state.key;
  const std::string project = FindProject();
  const Json found = Call("tasks.get_all", {{"system_tags", Json::array({tag})},
                                            {"project", Json::array({project})},
                                            {"order_by", Json::array({"created"})},
                                            {"only_fields", Json::array({"id"})},
                                            {"search_hidden", true}});
  if (!found.at("tasks").empty()) {
    state.id = found["tasks"][0].at("id");
  } else {
    Json task = ClearmlTask(run_);
    task["project"] = project;
    task["system_tags"] = Json::array({"development", tag});
    state.id = Call("tasks.create", task).at("id");
  }
  ours_->Change(std::move(state));
}

void ClearmlServer::ReadTask() {
  try {
    const Json task = Call("tasks.get_by_id", {{"task", task_id()}}).at("task");
    const std::string status = Text(task, "status");
    if (status == "published" || status == "publishing") {
      throw ClearmlFailure{
          {kTryLater, fmt::format("the task {} is {} and takes nothing", task_id(), status)}};
    }
    under_way_ = status == "in_progress";
    settings_at_first_ = ClearmlSettingsAtFirst(task);
  } catch (const ClearmlFailure& failure) {
    // It may be put back; what is told then waits.
    if (failure.subcode != ClearmlApi::kNoTask) throw;
    throw ClearmlFailure{{kTryLater, fmt::format("it has no task {}", task_id())}, failure.subcode};
  }
}

void ClearmlServer::Open(bool goes_on) {
  if (!open_) {
    const bool made = task_id().empty();
    if (made) CreateTask();
    ReadTask();
    lines_known_ = made;
    open_ = true;
  }
  if (goes_on && !under_way_) {
    Call("tasks.started", {{"task", task_id()}, {"force", true}});
    under_way_ = true;
  }
}

std::string ClearmlServer::files_folder() const {
  return ClearmlPath(ours_->state().project) + "/" + ClearmlPathPart(run_.name) + "." + task_id();
}

void ClearmlServer::SetParameters(const Json& parameters) {
  Call("tasks.edit_hyper_params", {{"task", task_id()},
                                   {"hyperparams", parameters},
                                   {"replace_hyperparams", "none"},
                                   {"force", true}});
  const std::string settings = ClearmlWithNewSettings(settings_at_first_, parameters);
  if (settings == settings_at_first_) return;
  Call("tasks.edit_configuration", {{"task", task_id()},
                                    {"configuration", Json::array({ClearmlRecipeItem(settings)})},
                                    {"replace_configuration", false},
                                    {"force", true}});
  settings_at_first_ = settings;
}

Json ClearmlServer::WithoutKnownLines(const Json& events) {
  if (lines_known_ || std::none_of(events.begin(), events.end(),
                                   [](const Json& event) { return event.at("type") == "log"; })) {
    return events;
  }
  const Json found =
      Call("events.get_task_log",
           {{"task", task_id()}, {"batch_size", kLinesToLookUp}, {"navigate_earlier", true}});
  std::multiset<std::pair<std::int64_t, std::string>> known;
  for (const Json& line : found.at("events")) {
    if (line.contains("timestamp") && line["timestamp"].is_number()) {
      known.emplace(line["timestamp"].get<std::int64_t>(), Text(line, "msg"));
    }
  }
  Json rest = Json::array();
  for (const Json& event : events) {
    if (event.at("type") == "log") {
      const auto at = known.find({event.at("timestamp"), event.at("msg")});
      if (at != known.end()) {
        known.erase(at);
        continue;
      }
    }
    rest.push_back(event);
  }
  return rest;
}

void ClearmlServer::AddEvents(const Json& events) {
  for (bool again = false;; again = true) {
    const Json rest = WithoutKnownLines(events);
    if (rest.empty()) return;
    try {
      const Json answer = api_.CallWithLines("events.add_batch", rest);
      if (answer.value("errors", 0) > 0) {
        throw ClearmlFailure{
            {kRefused, fmt::format("{} of {} events: {}", answer.value("errors", 0), rest.size(),
                                   answer.value("errors_info", Json()).dump())}};
      }
      lines_known_ = true;
      return;
    } catch (const ClearmlFailure& failure) {
      open_ = lines_known_ = false;
      if (failure.delivery.outcome != kRefused) throw;
      // A task that was removed or published takes no events: then none of them is at fault, nor
      // if it was so and is not any more.
      ReadTask();
      if (again) throw;
    }
  }
}

std::string ClearmlServer::Put(const std::string& path, std::string_view bytes) {
  return api_.Upload(path, bytes);
}

std::string ClearmlServer::PutFile(const std::string& path, const fs::path& file) {
  return api_.UploadFile(path, file);
}

void ClearmlServer::AddArtifact(const Json& artifact) {
  Call("tasks.add_or_update_artifacts",
       {{"task", task_id()}, {"artifacts", Json::array({artifact})}, {"force", true}});
}

void ClearmlServer::SetStatus(const Status& status) {
  Json body = {{"task", task_id()}, {"force", true}};
  const auto explain = [&](const char* reason, const std::string& message) {
    body["status_reason"] = reason;
    body["status_message"] = IsUtf8(message) ? message : Printable(message);
  };
  switch (status.state) {
    case Status::State::kRunning:
      Call("tasks.started", body);
      break;
    case Status::State::kFinished:
      Call("tasks.completed", body);
      break;
    case Status::State::kInterrupted:
      explain("interrupted",
              fmt::format("interrupted at step {}; it can go on from there", status.step));
      Call("tasks.stopped", body);
      break;
    case Status::State::kFailed:
      explain("failed", status.reason);
      Call("tasks.failed", body);
      break;
  }
  under_way_ = status.state == Status::State::kRunning;
}

void ClearmlServer::KeepAlive() {
  if (open_ && under_way_) api_.Call("tasks.ping", {{"task", task_id()}});
}

}  // namespace millrace::tracking
