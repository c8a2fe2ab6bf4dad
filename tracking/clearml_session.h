// A task as a folder that ClearML's SDK imports: a run on a machine that sees no server.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>

#include "tracking/clearml_target.h"
#include "tracking/tracker_run.h"

namespace millrace::tracking {

// The folder "offline-<32 digits>" is beside the run.json that names it; it is as the SDK 2.1
// leaves one: task.json, metrics.jsonl and log.jsonl (a list of events a line), and files below
// data/. What a killed process had written is found again in the files' ends, so that nothing is
// there twice. Functions throw Error naming the file that cannot be written.
class ClearmlSession final : public ClearmlTarget {
 public:
  // Throws Error when run.json cannot be written.
  ClearmlSession(ClearmlRun run, std::unique_ptr<TrackerRun> ours);
  ~ClearmlSession() override;

  std::string name() const override { return "the ClearML session " + session_.string(); }
  void Open(bool goes_on) override;
  const std::string& task_id() const override { return ours_->state().id; }
  std::string files_folder() const override;
  void SetParameters(const Json& parameters) override;
  void AddEvents(const Json& events) override;
  std::string Put(const std::string& path, std::string_view bytes) override;
  std::string PutFile(const std::string& path, const std::filesystem::path& file) override;
  void AddArtifact(const Json& artifact) override;
  void SetStatus(const Status& status) override;

  // What imports it, for people.
  std::string how_to_import() const;

 private:
  // Lists of events, one a line.
  struct Lists {
    std::filesystem::path path;
    std::multiset<std::string> last;  // events that are at its end
    bool checked = false;             // nothing that comes can be there already
  };

  void WriteTask() const;
  static void OpenLists(Lists* lists);
  static void Append(Lists* lists, const Json& events);

  const ClearmlRun run_;
  const std::unique_ptr<TrackerRun> ours_;
  std::filesystem::path session_;
  std::unique_ptr<Json> task_;  // task.json
  Lists metrics_;
  Lists log_;
  bool open_ = false;
};

}  // namespace millrace::tracking
