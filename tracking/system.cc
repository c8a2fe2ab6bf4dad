#include "tracking/system.h"

#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "tracking/environment.h"
#include "tracking/mlflow.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;

fs::path MlflowFolder(const fs::path& run_folder) { return run_folder / "tracking/mlflow"; }

}  // namespace

SystemChoice ChooseSystem(const std::string& wanted) {
  if (wanted == "none") return {"none", "no remote tracker: tracking.system is \"none\""};
  const bool mlflow = !Variable("MLFLOW_TRACKING_URI").empty();
  if (wanted == "mlflow") {
    if (!mlflow) {
      FailUsage(
          "tracking.system is \"mlflow\": set MLFLOW_TRACKING_URI to the address of its server");
    }
  }
  if (mlflow) {
    (void)MlflowSettings::FromEnvironment();  // complains now, before anything is touched
    return {"mlflow", wanted == "mlflow" ? "reporting to MLflow: tracking.system names it"
                                         : "reporting to MLflow: MLFLOW_TRACKING_URI is set"};
  }
  return {"none", "no remote tracker: MLFLOW_TRACKING_URI is not set"};
}

std::unique_ptr<Remote> MakeRemote(const std::string& system, const RunDescription& run,
                                   const fs::path& run_folder,
                                   std::function<void(const std::string&)> tell) {
  if (system == "none") return nullptr;
  const fs::path folder = MlflowFolder(run_folder);
  auto server = std::make_unique<Mlflow>(MlflowSettings::FromEnvironment(), run, folder);
  Remote::Options options;
  options.how_to_deliver = "millrace sync " + run_folder.string();
  return std::make_unique<Remote>(std::move(server), folder / "journal", std::move(options),
                                  std::move(tell));
}

bool DeliverRest(const fs::path& run_folder, std::function<void(const std::string&)> tell) {
  const fs::path state = MlflowFolder(run_folder) / "run.json";
  std::error_code code;
  if (!fs::exists(state, code)) {
    Fail("{} was never told to report to a remote tracker: there is no {}", run_folder.string(),
         state.string());
  }
  const auto json = nlohmann::json::parse(ReadFile(state), nullptr, false);
  if (!json.is_object()) Fail("{} is damaged", state.string());
  const auto remote = MakeRemote("mlflow",
                                 {.name = json.value("name", ""),
                                  .dataset = json.value("dataset", ""),
                                  .fingerprint = json.value("fingerprint", "")},
                                 run_folder, std::move(tell));
  remote->Finish();
  return remote->waiting() == 0;
}

}  // namespace millrace::tracking
