// Which run of a tracker is ours, for whoever goes on with it: in a file, and in checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "tracking/remote.h"

namespace millrace::tracking {

// What `folder`/run.json says. Only the thread that delivers changes it. No credential is in there,
// nor in what a checkpoint keeps.
class TrackerRun {
 public:
  struct State {
    std::string server;   // its address; empty: a folder is written instead
    std::string project;  // of the run there; empty: the tracker has none
    std::string key;      // random digits, by which an interrupted creation is found again
    std::string id;       // at the server; empty: not made yet
    // The server may have things of the run that were not told from this folder.
    bool begun_elsewhere = false;
    // Of what was told elsewhere, the last step by the tracker's own names.
    std::map<std::string, std::uint64_t> told_elsewhere;
    std::uint64_t told = 0;  // number of the last event of those that must come in order, once
  };

  // Where a run would be begun.
  struct Place {
    std::string system;  // as it is called: "MLflow"
    std::string server;
    std::string project;
    std::string id;  // of the run that the environment names; empty: none
  };

  // What is in `folder`, with the run as it was described then; nothing: no run.json. Throws Error
  // naming the file when it is damaged.
  struct Found {
    State state;
    RunDescription run;
  };
  static std::optional<Found> Find(const std::filesystem::path& folder);

  // Goes on as run.json says, or with the run that the environment names, or with the one of the
  // checkpoint that `run` goes on from, if that is of the same name at the same place; otherwise
  // begins a new one. Which, where that is no matter of course, `tell` gets in a line. Throws Error
  // as Find() does, or naming the file that cannot be written.
  TrackerRun(std::filesystem::path folder, const Place& place, RunDescription run,
             const std::function<void(const std::string&)>& tell);

  const std::filesystem::path& folder() const { return folder_; }
  const State& state() const { return state_; }
  // Written when it comes back. Throws Error naming the file.
  void Change(State state);

  // For RunDescription::before of a run that goes on from the checkpoint; empty where there is no
  // server. Any thread.
  std::string ForCheckpoint() const;

 private:
  void Write() const;
  // False: the checkpoint names no run, or one that this is not to be.
  bool GoOnFromCheckpoint(const Place& place, const std::function<void(const std::string&)>& tell);

  const std::filesystem::path folder_;
  const std::string system_;
  const RunDescription run_;
  mutable std::mutex mutex_;  // of changes, and of reading elsewhere
  State state_;
};

}  // namespace millrace::tracking
