// Polyaxon: a run's events in its event files, and over its REST interface.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "tracking/polyaxon_files.h"
#include "tracking/polyaxon_settings.h"
#include "tracking/remote.h"
#include "tracking/tracker_run.h"

namespace millrace::tracking {

// Every event is first written to the files in `folder`/runs/<uuid> (polyaxon_files.h). What has
// changed there is then brought to the server, whole, in place of what it had: nothing can be
// doubled. A run that Polyaxon has started gets the files into the folder that it watches instead,
// and offline they stay where they are.
//
// The run's uuid is made here, so that an interrupted creation is found again. Of a run that was
// begun elsewhere the server's files are had first, and grow here; points up to the last step of
// each stay as they are.
class Polyaxon final : public RemoteSink {
 public:
  // Throws Error when a file in the folder of `ours` is damaged or cannot be written.
  Polyaxon(PolyaxonSettings settings, RunDescription run, std::unique_ptr<TrackerRun> ours);
  ~Polyaxon() override;

  std::string name() const override;
  bool Takes(const RemoteEvent::What& what) const override;
  Delivery Deliver(std::span<const RemoteEvent> events) override;
  std::string ForCheckpoint() const override { return ours_->ForCheckpoint(); }

 private:
  struct Requests;

  const std::string& uuid() const { return ours_->state().id; }
  // The run began at `time_ms`, at the latest.
  void CreateRun(std::int64_t time_ms);
  void OpenRun(std::int64_t time_ms);
  // The files that grow, as the server has them.
  void FetchFiles();
  // Everything that has changed and, but at the end of the run, does not wait for more. Returns
  // what is left out of it, and why; empty: nothing.
  std::string Bring(bool at_the_end);
  // False: it is too large for the server.
  bool BringFile(const std::string& path);
  // Settings, and how the run stands.
  void Tell(std::span<const RemoteEvent> events);

  const PolyaxonSettings settings_;
  const RunDescription run_;
  const std::unique_ptr<TrackerRun> ours_;
  std::unique_ptr<Requests> requests_;
  std::string namespace_;  // of the run, at the server
  std::unique_ptr<PolyaxonFiles> files_;
  std::map<std::uint64_t, std::string> left_out_;  // files, by an event's number, and why
  bool open_ = false;                              // since this process began
};

}  // namespace millrace::tracking
