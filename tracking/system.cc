#include "tracking/system.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>
#include <utility>

#include "base/error.h"
#include "tracking/clearml.h"
#include "tracking/clearml_api.h"
#include "tracking/clearml_server.h"
#include "tracking/clearml_session.h"
#include "tracking/clearml_settings.h"
#include "tracking/clearml_task.h"
#include "tracking/environment.h"
#include "tracking/mlflow.h"
#include "tracking/polyaxon.h"
#include "tracking/tracker_run.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 3> kSystems = {"mlflow", "polyaxon", "clearml"};

fs::path FolderOf(const std::string& system, const fs::path& run_folder) {
  return run_folder / "tracking" / system;
}

// What leads to the system, as a part of a sentence; "" where nothing does.
std::string Evidence(const std::string& system) {
  if (system == "clearml") return ClearmlSettings::Evidence();
  const std::string variable = system == "polyaxon" ? PolyaxonSettings::VariableThatIsSet()
                               : Variable("MLFLOW_TRACKING_URI").empty() ? ""
                                                                         : "MLFLOW_TRACKING_URI";
  return variable.empty() ? "" : variable + " is set";
}

SystemChoice Choose(const std::string& system, const std::string& why) {
  // What is wrong is told now, before anything is touched.
  if (system == "clearml") {
    const bool offline = ClearmlSettings::Find().offline;
    return {system, (offline ? "writing a ClearML session: " : "reporting to ClearML: ") + why};
  }
  if (system == "polyaxon") {
    (void)PolyaxonSettings::FromEnvironment();
    return {system, "reporting to Polyaxon: " + why};
  }
  (void)MlflowSettings::FromEnvironment();
  return {system, "reporting to MLflow: " + why};
}

using Tell = std::function<void(const std::string&)>;

// A run goes on where it began, whatever its environment says by now.
void TellIfOther(const TrackerRun& ours, const char* variable, const std::string& named,
                 const Tell& tell) {
  const std::string& id = ours.state().id;
  if (named.empty() || id.empty() || named == id) return;
  tell(
      fmt::format("{} names {}, but the run goes on as {}, as it began; to report to another one, "
                  "remove {} first",
                  variable, named, id, ours.folder().string()));
}

std::unique_ptr<RemoteSink> MakeMlflow(const RunDescription& run, const fs::path& folder,
                                       const Tell& tell) {
  MlflowSettings settings = MlflowSettings::FromEnvironment();
  auto ours = std::make_unique<TrackerRun>(
      folder,
      TrackerRun::Place{
          .system = "MLflow", .server = settings.uri, .project = "", .id = settings.run_id},
      run, tell);
  TellIfOther(*ours, "MLFLOW_RUN_ID", settings.run_id, tell);
  return std::make_unique<Mlflow>(std::move(settings), run, std::move(ours));
}

std::unique_ptr<RemoteSink> MakePolyaxon(const RunDescription& run, const fs::path& folder,
                                         const Tell& tell) {
  PolyaxonSettings settings = PolyaxonSettings::FromEnvironment();
  auto ours = std::make_unique<TrackerRun>(
      folder,
      TrackerRun::Place{.system = "Polyaxon",
                        .server = settings.host,
                        .project = settings.owner + "/" + settings.project,
                        .id = settings.uuid},
      run, tell);
  return std::make_unique<Polyaxon>(std::move(settings), run, std::move(ours));
}

std::unique_ptr<RemoteSink> MakeClearml(const RunDescription& description, const fs::path& folder,
                                        const Tell& tell) {
  ClearmlRun run{.name = description.name,
                 .dataset = description.dataset.string(),
                 .fingerprint = description.fingerprint,
                 .command = description.command};
  // A run goes on as it began.
  const auto found = TrackerRun::Find(folder);
  const bool began_offline = found && found->state.server.empty();
  ClearmlSettings settings;
  if (!began_offline) settings = ClearmlSettings::Find();
  const bool offline = began_offline || (!found && settings.offline);
  TrackerRun::Place place{.system = "ClearML", .server = "", .project = settings.project, .id = ""};
  if (!offline) {
    place.server = settings.api;
    place.id = settings.task_id;
  }
  auto ours = std::make_unique<TrackerRun>(folder, place, description, tell);
  if (offline) {
    auto session = std::make_unique<ClearmlSession>(run, std::move(ours));
    tell("the run goes into " + session->name() +
         "; give it to a server with: " + session->how_to_import());
    return std::make_unique<Clearml>(std::move(session), std::move(run), settings.worker, true);
  }
  TellIfOther(*ours, "CLEARML_TASK_ID", settings.task_id, tell);
  const std::string worker = settings.worker;
  const bool sends_lines = settings.sends_lines;
  auto server = std::make_unique<ClearmlServer>(std::move(settings), run, std::move(ours));
  return std::make_unique<Clearml>(std::move(server), std::move(run), worker, sends_lines);
}

}  // namespace

SystemChoice ChooseSystem(const std::string& wanted) {
  if (wanted == "none") return {"none", "no remote tracker: tracking.system is \"none\""};
  if (wanted == "mlflow" && Evidence(wanted).empty()) {
    FailUsage(
        "tracking.system is \"mlflow\": set MLFLOW_TRACKING_URI to the address of its server");
  }
  if (wanted == "polyaxon" && Evidence(wanted).empty()) {
    FailUsage("tracking.system is \"polyaxon\": set POLYAXON_HOST to the address of its server");
  }
  if (wanted != "auto") return Choose(wanted, "tracking.system names it");
  for (const char* system : kSystems) {
    if (const std::string evidence = Evidence(system); !evidence.empty()) {
      return Choose(system, evidence);
    }
  }
  return {
      "none",
      "no remote tracker: neither MLFLOW_TRACKING_URI nor POLYAXON_HOST nor CLEARML_API_HOST is "
      "set, and there is no ~/clearml.conf"};
}

std::string VariableOfTheRun(const std::string& system) {
  const char* name = system == "mlflow"     ? "MLFLOW_RUN_ID"
                     : system == "polyaxon" ? "POLYAXON_RUN_INSTANCE"
                     : system == "clearml"  ? "CLEARML_TASK_ID"
                                            : "";
  return *name != '\0' && !Variable(name).empty() ? name : "";
}

std::vector<std::string> SettingsFromSystem(const std::string& system) {
  if (system != "clearml") return {};
  const ClearmlSettings settings = ClearmlSettings::Find();
  if (settings.offline || settings.task_id.empty()) return {};
  ClearmlApi api(settings);
  constexpr auto kPause = std::chrono::seconds(2);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  for (;;) {
    try {
      return ClearmlChangedSettings(
          api.Call("tasks.get_by_id", {{"task", settings.task_id}}).at("task"));
    } catch (const ClearmlFailure& failure) {
      if (failure.delivery.outcome == Delivery::Outcome::kRefused ||
          std::chrono::steady_clock::now() > deadline) {
        Fail("the settings of the task {} (CLEARML_TASK_ID) cannot be had from ClearML at {}: {}",
             settings.task_id, settings.api, failure.delivery.reason);
      }
    } catch (const nlohmann::json::exception&) {
      Fail("{} does not answer as a ClearML server does", settings.api);
    }
    std::this_thread::sleep_for(kPause);
  }
}

std::unique_ptr<Remote> MakeRemote(const std::string& system, const RunDescription& run,
                                   const fs::path& run_folder,
                                   std::function<void(const std::string&)> tell,
                                   const RemoteWaits& waits) {
  if (system == "none") return nullptr;
  const fs::path folder = FolderOf(system, run_folder);
  Remote::Options options;
  options.waits = waits;
  options.how_to_deliver = "millrace sync " + run_folder.string();
  std::unique_ptr<RemoteSink> server;
  if (system == "clearml") {
    server = MakeClearml(run, folder, tell);
  } else if (system == "polyaxon") {
    server = MakePolyaxon(run, folder, tell);
    // Every delivery brings whole files.
    options.batch_events = 5000;
    options.batch_bytes = std::size_t{8} << 20;
    options.gather = std::chrono::seconds(5);
  } else {
    server = MakeMlflow(run, folder, tell);
  }
  return std::make_unique<Remote>(std::move(server), folder / "journal", std::move(options),
                                  std::move(tell));
}

bool DeliverRest(const fs::path& run_folder, const std::function<void(const std::string&)>& tell) {
  bool found = false;
  bool delivered = true;
  for (const char* system : kSystems) {
    const auto run = TrackerRun::Find(FolderOf(system, run_folder));
    if (!run) continue;
    found = true;
    const auto remote = MakeRemote(system, run->run, run_folder, tell);
    remote->Finish();
    delivered = delivered && remote->waiting() == 0;
  }
  if (!found) {
    Fail("{} was never told to report to a remote tracker: there is no run.json below {}",
         run_folder.string(), (run_folder / "tracking").string());
  }
  return delivered;
}

}  // namespace millrace::tracking
