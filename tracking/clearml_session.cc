#include "tracking/clearml_session.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/shell.h"
#include "base/utf8.h"
#include "tracking/append_file.h"
#include "tracking/clearml_path.h"
#include "tracking/clearml_task.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;
using Json = ClearmlTarget::Json;

// More than a batch has, so that all of one that was written but not noted is found.
constexpr std::uint64_t kEndBytes = std::uint64_t{16} << 20;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string RandomId() {
  std::random_device random;
  return fmt::format("offline-{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

}  // namespace

ClearmlSession::ClearmlSession(ClearmlRun run, std::unique_ptr<TrackerRun> ours)
    : run_(std::move(run)), ours_(std::move(ours)), task_(std::make_unique<Json>()) {
  if (task_id().empty()) {
    TrackerRun::State state = ours_->state();
    state.id = RandomId();
    ours_->Change(std::move(state));
  }
  session_ = fs::absolute(ours_->folder()) / task_id();
  metrics_.path = session_ / "metrics.jsonl";
  log_.path = session_ / "log.jsonl";
}

ClearmlSession::~ClearmlSession() = default;

// What a killed process has left of a last line goes.
void ClearmlSession::OpenLists(Lists* lists) {
  std::error_code code;
  const std::uint64_t size = fs::file_size(lists->path, code);
  lists->last.clear();
  lists->checked = static_cast<bool>(code) || size == 0;
  if (lists->checked) return;
  std::ifstream file(lists->path, std::ios::binary);
  const std::uint64_t begin = size > kEndBytes ? size - kEndBytes : 0;
  file.seekg(static_cast<std::streamoff>(begin));
  std::string end(size - begin, '\0');
  if (!file.read(end.data(), static_cast<std::streamsize>(end.size()))) {
    Fail("{}: it cannot be read", lists->path.string());
  }
  const std::size_t whole = end.rfind('\n') + 1;
  if (whole < end.size()) fs::resize_file(lists->path, begin + whole);
  std::size_t at = begin == 0 ? 0 : end.find('\n') + 1;
  while (at < whole) {
    const std::size_t line_end = end.find('\n', at);
    const Json list = Json::parse(end.substr(at, line_end - at), nullptr, false);
    if (list.is_array()) {
      for (const Json& event : list) lists->last.insert(Dump(event));
    }
    at = line_end + 1;
  }
}

void ClearmlSession::Open(bool /*goes_on*/) {
  if (open_) return;
  CreateFolders(session_);
  const fs::path path = session_ / "task.json";
  std::error_code code;
  if (fs::exists(path, code)) {
    *task_ = Json::parse(ReadFile(path), nullptr, false);
    if (!task_->is_object()) Fail("{} is damaged", path.string());
  } else {
    *task_ = ClearmlTask(run_);
    task_->update({{"id", task_id()},
                   {"project_name", ours_->state().project},
                   {"offline_folder", session_.string()},
                   {"offline_output_models", Json::array()},
                   {"output", Json::object()},
                   {"execution", {{"artifacts", Json::array()}}},
                   {"hyperparams", Json::object()},
                   {"configuration", Json::object()}});
    WriteTask();
  }
  OpenLists(&metrics_);
  OpenLists(&log_);
  open_ = true;
}

std::string ClearmlSession::files_folder() const {
  return ClearmlPath(ours_->state().project) + "/" + ClearmlPathPart(run_.name) + "." + task_id();
}

void ClearmlSession::WriteTask() const {
  WriteFileAtomically(session_ / "task.json", Dump(*task_));
}

void ClearmlSession::SetParameters(const Json& parameters) {
  Json& task = *task_;
  for (const Json& parameter : parameters) {
    task["hyperparams"][parameter.at("section").get<std::string>()]
        [parameter.at("name").get<std::string>()] = parameter;
  }
  const std::string settings = ClearmlWithNewSettings(ClearmlSettingsAtFirst(task), parameters);
  const Json item = ClearmlRecipeItem(settings);
  task["configuration"][item.at("name").get<std::string>()] = item;
  WriteTask();
}

void ClearmlSession::Append(Lists* lists, const Json& events) {
  Json rest = Json::array();
  for (const Json& event : events) {
    if (!lists->checked) {
      const auto at = lists->last.find(Dump(event));
      if (at != lists->last.end()) {
        lists->last.erase(at);
        continue;
      }
    }
    rest.push_back(event);
  }
  if (rest.empty()) return;
  // What comes after something new is new, too.
  lists->checked = true;
  lists->last.clear();
  AppendFile(lists->path).Append(Dump(rest) + "\n");
}

void ClearmlSession::AddEvents(const Json& events) {
  Json metrics = Json::array();
  Json lines = Json::array();
  for (const Json& event : events) {
    (event.at("type") == "log" ? lines : metrics).push_back(event);
  }
  open_ = false;  // looked at again where this fails
  Append(&metrics_, metrics);
  Append(&log_, lines);
  open_ = true;
}

std::string ClearmlSession::Put(const std::string& path, std::string_view bytes) {
  const fs::path file = session_ / "data" / path;
  CreateFolders(file.parent_path());
  WriteFileAtomically(file, bytes);
  return file.string();
}

std::string ClearmlSession::PutFile(const std::string& path, const fs::path& file) {
  const fs::path kept = session_ / "data" / path;
  CreateFolders(kept.parent_path());
  std::error_code code;
  fs::remove(kept, code);
  // The run's files are replaced, never written over, so that a second name costs no room.
  fs::create_hard_link(file, kept, code);
  if (code) fs::copy_file(file, kept, fs::copy_options::overwrite_existing);
  return kept.string();
}

void ClearmlSession::AddArtifact(const Json& artifact) {
  Json kept = Json::array();
  for (const Json& other : (*task_)["execution"]["artifacts"]) {
    if (other.at("key") != artifact.at("key")) kept.push_back(other);
  }
  kept.push_back(artifact);
  (*task_)["execution"]["artifacts"] = std::move(kept);
  WriteTask();
}

void ClearmlSession::SetStatus(const Status& status) {
  // The importer makes a completed task of it, whatever it says.
  std::string comment = ClearmlTask(run_).at("comment");
  if (status.state == Status::State::kInterrupted) {
    comment += fmt::format("; interrupted at step {}", status.step);
  } else if (status.state == Status::State::kFailed) {
    comment += "; failed: " + (IsUtf8(status.reason) ? status.reason : Printable(status.reason));
  }
  (*task_)["comment"] = comment;
  WriteTask();
}

std::string ClearmlSession::how_to_import() const {
  return "clearml-task --import-offline-session " + ShellWord(session_.string());
}

}  // namespace millrace::tracking
