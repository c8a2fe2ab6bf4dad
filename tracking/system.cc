#include "tracking/system.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "tracking/environment.h"
#include "tracking/mlflow.h"
#include "tracking/polyaxon.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;

fs::path Folder(const std::string& system, const fs::path& run_folder) {
  return run_folder / "tracking" / system;
}

struct Known {
  const char* system;
  const char* title;
  const char* variable;          // the one to set
  std::string (*that_is_set)();  // of all that lead to it; empty: none
  void (*check)();               // complains before anything is touched
};

// In the order in which "auto" looks for them.
constexpr std::array kSystems = {
    Known{"mlflow", "MLflow", "MLFLOW_TRACKING_URI",
          [] {
            const char* name = "MLFLOW_TRACKING_URI";
            return std::string(Variable(name).empty() ? "" : name);
          },
          [] { (void)MlflowSettings::FromEnvironment(); }},
    Known{"polyaxon", "Polyaxon", "POLYAXON_HOST", PolyaxonSettings::VariableThatIsSet,
          [] { (void)PolyaxonSettings::FromEnvironment(); }},
};

}  // namespace

SystemChoice ChooseSystem(const std::string& wanted) {
  if (wanted == "none") return {"none", "no remote tracker: tracking.system is \"none\""};
  std::string unset;
  for (const Known& known : kSystems) {
    if (wanted != "auto" && wanted != known.system) continue;
    const std::string variable = known.that_is_set();
    if (variable.empty()) {
      unset += (unset.empty() ? "" : " nor ") + std::string(known.variable);
      continue;
    }
    known.check();
    return {known.system,
            wanted == "auto"
                ? fmt::format("reporting to {}: {} is set", known.title, variable)
                : fmt::format("reporting to {}: tracking.system names it", known.title)};
  }
  if (wanted == "auto") {
    return {"none", fmt::format("no remote tracker: neither {} is set", unset)};
  }
  FailUsage("tracking.system is \"{}\": set {} to the address of its server", wanted, unset);
}

std::unique_ptr<Remote> MakeRemote(const std::string& system, const RunDescription& run,
                                   const fs::path& run_folder,
                                   std::function<void(const std::string&)> tell) {
  if (system == "none") return nullptr;
  const fs::path folder = Folder(system, run_folder);
  Remote::Options options;
  options.how_to_deliver = "millrace sync " + run_folder.string();
  std::unique_ptr<RemoteSink> server;
  if (system == "polyaxon") {
    server = std::make_unique<Polyaxon>(PolyaxonSettings::FromEnvironment(), run, folder);
    // Every delivery brings whole files.
    options.batch_events = 5000;
    options.batch_bytes = std::size_t{8} << 20;
    options.gather = std::chrono::seconds(5);
  } else {
    server = std::make_unique<Mlflow>(MlflowSettings::FromEnvironment(), run, folder);
  }
  return std::make_unique<Remote>(std::move(server), folder / "journal", std::move(options),
                                  std::move(tell));
}

bool DeliverRest(const fs::path& run_folder, const std::function<void(const std::string&)>& tell) {
  bool known_to_any = false;
  bool all = true;
  for (const Known& known : kSystems) {
    const fs::path state = Folder(known.system, run_folder) / "run.json";
    std::error_code code;
    if (!fs::exists(state, code)) continue;
    known_to_any = true;
    const auto json = nlohmann::json::parse(ReadFile(state), nullptr, false);
    if (!json.is_object()) Fail("{} is damaged", state.string());
    const auto remote = MakeRemote(known.system,
                                   {.name = json.value("name", ""),
                                    .dataset = json.value("dataset", ""),
                                    .fingerprint = json.value("fingerprint", "")},
                                   run_folder, tell);
    remote->Finish();
    all = all && remote->waiting() == 0;
  }
  if (!known_to_any) {
    Fail("{} was never told to report to a remote tracker: there is no run.json in {}",
         run_folder.string(), (run_folder / "tracking/*").string());
  }
  return all;
}

}  // namespace millrace::tracking
