// A task of a ClearML server, over its REST interface.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tracking/clearml_api.h"
#include "tracking/clearml_target.h"

namespace millrace::tracking {

// Which task of the server is ours stands in `folder`/run.json, so that it is found again by
// whoever goes on with it; no credential is in there. An interrupted creation is found again by a
// system tag. Lines of the console, which the server does not know again, are looked up there
// before some are sent that it may have.
//
// The task can be cloned and given to an agent: its script is the run's command, and what the
// recipe set at first is the configuration "recipe", beside which a clone's changed settings stand
// out (clearml_task.h).
class ClearmlServer final : public ClearmlTarget {
 public:
  // Throws Error when the file in `folder` is damaged.
  ClearmlServer(ClearmlSettings settings, ClearmlRun run, std::filesystem::path folder);
  ~ClearmlServer() override;

  std::string name() const override { return "ClearML at " + api_.settings().api; }
  void Open(bool goes_on) override;
  const std::string& task_id() const override { return task_id_; }
  std::string files_folder() const override;
  void SetParameters(const Json& parameters) override;
  void AddEvents(const Json& events) override;
  std::string Put(const std::string& path, std::string_view bytes) override;
  std::string PutFile(const std::string& path, const std::filesystem::path& file) override;
  void AddArtifact(const Json& artifact) override;
  void SetStatus(const Status& status) override;

 private:
  void ReadState();
  void WriteState() const;
  std::string FindProject();
  void CreateTask();
  void ReadTask();
  // Without the lines that the server has already.
  Json WithoutKnownLines(const Json& events);
  // Calls the API; after a failure it is not known what the server has.
  Json Call(const std::string& call, const Json& body);

  ClearmlApi api_;
  const ClearmlRun run_;
  const std::filesystem::path folder_;
  std::string key_;                // by which an interrupted creation is found again
  std::string task_id_;            // empty: not created yet
  std::string project_;            // the name
  std::string settings_at_first_;  // JSON of the configuration "recipe"; empty: there is none
  bool open_ = false;              // since this process began, and since the last failure
  bool under_way_ = false;         // by the server
  bool lines_known_ = false;       // the server has no line that we may send again
};

}  // namespace millrace::tracking
