// Where ClearML is told of a run: its server, or a folder that its SDK gives to a server later.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "tracking/event.h"

namespace millrace::tracking {

// What ClearML is told of the run as a whole.
struct ClearmlRun {
  std::string name;
  std::string dataset;      // its path
  std::string fingerprint;  // of the dataset
  std::string command;  // a line for bash that starts the same run again, for clones of its task
};

// One task. Called by one thread at a time; every function but name() throws ClearmlFailure where
// something is not taken, and may be called again with the same then. Objects are those of
// ClearML's interface, by the names of its schemas.
class ClearmlTarget {
 public:
  using Json = nlohmann::ordered_json;

  virtual ~ClearmlTarget() = default;

  // For messages: "ClearML at http://host:8008".
  virtual std::string name() const = 0;

  // Called before everything else: the task is there afterwards and, where `goes_on`, under way.
  virtual void Open(bool goes_on) = 0;

  // As RemoteSink::ForCheckpoint().
  virtual std::string ForCheckpoint() const { return ""; }

  // Known once Open() came back.
  virtual const std::string& task_id() const = 0;
  // Where the task's files belong, a path below the server's.
  virtual std::string files_folder() const = 0;

  // A list of "params_item".
  virtual void SetParameters(const Json& parameters) = 0;
  // Events of "events.add_batch", in order.
  virtual void AddEvents(const Json& events) = 0;
  // Keeps a file under `path`, below files_folder(), and returns its address.
  virtual std::string Put(const std::string& path, std::string_view bytes) = 0;
  virtual std::string PutFile(const std::string& path, const std::filesystem::path& file) = 0;
  // An "artifact", which replaces one with the same key.
  virtual void AddArtifact(const Json& artifact) = 0;
  virtual void SetStatus(const Status& status) = 0;
  // The task is still under way, if it was.
  virtual void KeepAlive() {}
};

}  // namespace millrace::tracking
