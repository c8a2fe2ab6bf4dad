// A task of a ClearML server, over its REST interface.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tracking/clearml_api.h"
#include "tracking/clearml_target.h"
#include "tracking/tracker_run.h"

namespace millrace::tracking {

// An interrupted creation of a task is found again by a system tag. Lines of the console, which the
// server does not know again, are looked up there before some are sent that it may have.
//
// The task can be cloned and given to an agent: its script is the run's command, and what the
// recipe set at first is the configuration "recipe", beside which a clone's changed settings stand
// out (clearml_task.h).
class ClearmlServer final : public ClearmlTarget {
 public:
  ClearmlServer(ClearmlSettings settings, ClearmlRun run, std::unique_ptr<TrackerRun> ours);
  ~ClearmlServer() override;

  std::string name() const override { return "ClearML at " + api_.settings().api; }
  void Open(bool goes_on) override;
  std::string ForCheckpoint() const override { return ours_->ForCheckpoint(); }
  const std::string& task_id() const override { return ours_->state().id; }
  std::string files_folder() const override;
  void SetParameters(const Json& parameters) override;
  void AddEvents(const Json& events) override;
  std::string Put(const std::string& path, std::string_view bytes) override;
  std::string PutFile(const std::string& path, const std::filesystem::path& file) override;
  void AddArtifact(const Json& artifact) override;
  void SetStatus(const Status& status) override;
  void KeepAlive() override;

 private:
  std::string FindProject();
  void CreateTask();
  void ReadTask();
  // Without the lines that the server has already.
  Json WithoutKnownLines(const Json& events);
  // Calls the API; after a failure it is not known what the server has.
  Json Call(const std::string& call, const Json& body);

  ClearmlApi api_;
  const ClearmlRun run_;
  const std::unique_ptr<TrackerRun> ours_;
  std::string settings_at_first_;  // JSON of the configuration "recipe"; empty: there is none
  bool open_ = false;              // since this process began, and since the last failure
  bool under_way_ = false;         // by the server
  bool lines_known_ = false;       // the server has no line that we may send again
};

}  // namespace millrace::tracking
