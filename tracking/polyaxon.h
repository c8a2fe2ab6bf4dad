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

namespace millrace::tracking {

// Every event is first written to the files in `folder`/runs/<uuid> (polyaxon_files.h). What has
// changed there is then brought to the server, whole, in place of what it had: nothing can be
// doubled. A run that Polyaxon has started gets the files into the folder that it watches instead,
// and offline they stay where they are.
//
// The run's uuid is made here and stands in `folder`/run.json, so that an interrupted creation is
// found again, and the run by whoever goes on with it; no credential is in there.
class Polyaxon final : public RemoteSink {
 public:
  // Throws Error when a file in `folder` is damaged.
  Polyaxon(PolyaxonSettings settings, RunDescription run, std::filesystem::path folder);
  ~Polyaxon() override;

  std::string name() const override;
  bool Takes(const RemoteEvent::What& what) const override;
  Delivery Deliver(std::span<const RemoteEvent> events) override;

 private:
  struct Requests;

  void ReadState();
  void WriteState() const;
  // The run began at `time_ms`, at the latest.
  void CreateRun(std::int64_t time_ms);
  void OpenRun(std::int64_t time_ms);
  // Everything that has changed. Returns what is left out of it, and why; empty: nothing.
  std::string Bring();
  // False: it is too large for the server.
  bool BringFile(const std::string& path);
  // Settings, and how the run stands.
  void Tell(std::span<const RemoteEvent> events);

  const PolyaxonSettings settings_;
  const RunDescription run_;
  const std::filesystem::path folder_;
  std::unique_ptr<Requests> requests_;
  std::string uuid_;
  std::uint64_t told_ = 0;  // number of the last setting or status that the run has got
  std::string namespace_;   // of the run, at the server
  std::unique_ptr<PolyaxonFiles> files_;
  std::map<std::uint64_t, std::string> left_out_;  // files, by an event's number, and why
  bool open_ = false;                              // since this process began
};

}  // namespace millrace::tracking
