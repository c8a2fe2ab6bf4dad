// MLflow: a run's events over its REST interface.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tracking/http.h"
#include "tracking/remote.h"
#include "tracking/tracker_run.h"

namespace millrace::tracking {

// Where the server is and who we are there, by the variables that MLflow's own client reads.
struct MlflowSettings {
  std::string uri;              // MLFLOW_TRACKING_URI, without credentials and final slashes
  std::string experiment_name;  // MLFLOW_EXPERIMENT_NAME; "Default"
  std::string experiment_id;    // MLFLOW_EXPERIMENT_ID; wins over the name
  std::string run_id;           // MLFLOW_RUN_ID: go on with this run
  HttpOptions http;             // MLFLOW_TRACKING_USERNAME, _PASSWORD, _TOKEN, _INSECURE_TLS, ...

  // From the environment, and user and password, where it has none, from ~/.mlflow/credentials.
  // Throws Error (exit code 2) naming the variable and what is wrong with it.
  static MlflowSettings FromEnvironment();
};

// An interrupted creation of a run is found again by a tag. Of one that was begun elsewhere the
// server is asked what it has: metrics and pictures up to the last step of each stay as they are.
//
// Scalars arrive under the tags and axes of tags.h, pictures so that MLflow's pages show them,
// settings as parameters. What the server would refuse is made acceptable: characters that keys
// must not have become '_', a setting that has changed since the run began, which MLflow does not
// allow, becomes the tag "changed.<setting>". Messages, histograms and curves have no place there.
class Mlflow final : public RemoteSink {
 public:
  Mlflow(MlflowSettings settings, RunDescription run, std::unique_ptr<TrackerRun> ours);
  ~Mlflow() override;

  std::string name() const override { return "MLflow at " + settings_.uri; }
  bool Takes(const RemoteEvent::What& what) const override;
  Delivery Deliver(std::span<const RemoteEvent> events) override;
  std::string ForCheckpoint() const override { return ours_->ForCheckpoint(); }

 private:
  struct Requests;

  void OpenExperiment();
  // The run began at `time_ms`, at the latest.
  void CreateRun(std::int64_t time_ms);
  void OpenRun(std::int64_t time_ms);
  // `run` as the server shows it.
  void NoteToldElsewhere(const nlohmann::ordered_json& run);
  bool ToldElsewhere(const std::string& name, std::uint64_t step) const;
  const std::string& run_id() const { return ours_->state().id; }

  const MlflowSettings settings_;
  const RunDescription run_;
  const std::unique_ptr<TrackerRun> ours_;
  std::unique_ptr<Requests> requests_;
  std::string experiment_id_;  // empty: not known yet
  std::string artifact_uri_;
  std::map<std::string, std::string> parameters_;  // that the server has
  bool open_ = false;                              // since this process began
};

}  // namespace millrace::tracking
